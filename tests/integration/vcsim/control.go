package main

import (
	"encoding/json"
	"net/http"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// The control is how a test plays the site's other people: it changes machines and hosts behind the API's
// back, and asks how many tickets were given and how many sessions are open. Not part of vSphere.

// change names a machine or a host and what becomes of it; what is not named stays.
type change struct {
	VM          string            `json:"vm"`
	Host        string            `json:"host"`
	Power       string            `json:"power"`
	Connection  string            `json:"connection"`
	Maintenance *bool             `json:"maintenance"`
	UUID        string            `json:"instanceUuid"`
	BIOS        string            `json:"biosUuid"`
	Name        string            `json:"name"`
	Viewers     *int32            `json:"viewers"`
	MaxViewers  *int32            `json:"maxViewers"`
	Extra       map[string]string `json:"extraConfig"`
	RunsOn      string            `json:"runsOn"`
	Gone        bool              `json:"gone"`
}

func control(office *ticketOffice) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/machines", func(w http.ResponseWriter, _ *http.Request) { reply(w, machines()) })
	mux.HandleFunc("/hosts", func(w http.ResponseWriter, _ *http.Request) { reply(w, hosts()) })
	mux.HandleFunc("/tickets", func(w http.ResponseWriter, _ *http.Request) {
		office.lock.Lock()
		defer office.lock.Unlock()
		reply(w, office.given)
	})
	mux.HandleFunc("/forms", func(w http.ResponseWriter, r *http.Request) {
		office.lock.Lock()
		defer office.lock.Unlock()
		answer(w, json.NewDecoder(r.Body).Decode(&office.forms))
	})
	mux.HandleFunc("/change", func(w http.ResponseWriter, r *http.Request) {
		var c change
		err := json.NewDecoder(r.Body).Decode(&c)
		if err == nil && c.VM != "" {
			changeMachine(c)
		} else if err == nil {
			changeHost(c)
		}
		answer(w, err)
	})
	return mux
}

func reply(w http.ResponseWriter, value interface{}) {
	w.Header().Set("Content-Type", "application/json")
	answer(w, json.NewEncoder(w).Encode(value))
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func machines() []map[string]string {
	list := []map[string]string{}
	for _, entity := range simulator.Map.All("VirtualMachine") {
		vm := entity.(*consoleVM)
		list = append(list, map[string]string{
			"moid": vm.Self.Value, "name": vm.Name, "host": vm.Runtime.Host.Value,
			"instance_uuid": vm.Config.InstanceUuid, "bios_uuid": vm.Config.Uuid,
		})
	}
	return list
}

func hosts() []map[string]string {
	list := []map[string]string{}
	for _, entity := range simulator.Map.All("HostSystem") {
		host := entity.(*simulator.HostSystem)
		list = append(list, map[string]string{"moid": host.Self.Value, "name": host.Name})
	}
	return list
}

func changeMachine(c change) {
	ref := types.ManagedObjectReference{Type: "VirtualMachine", Value: c.VM}
	if c.Gone {
		simulator.Map.Remove(ref)
		return
	}
	vm := simulator.Map.Get(ref).(*consoleVM)
	simulator.Map.WithLock(vm, func() {
		set(&vm.Config.InstanceUuid, c.UUID)
		set(&vm.Config.Uuid, c.BIOS)
		set(&vm.Name, c.Name)
		if c.Power != "" {
			vm.Runtime.PowerState = types.VirtualMachinePowerState(c.Power)
		}
		if c.Connection != "" {
			vm.Runtime.ConnectionState = types.VirtualMachineConnectionState(c.Connection)
		}
		if c.Viewers != nil {
			vm.Runtime.NumMksConnections = *c.Viewers
		}
		if c.MaxViewers != nil {
			vm.Config.MaxMksConnections = *c.MaxViewers
		}
		if c.RunsOn != "" {
			vm.Runtime.Host = &types.ManagedObjectReference{Type: "HostSystem", Value: c.RunsOn}
		}
		for key, value := range c.Extra {
			vm.Config.ExtraConfig = append(vm.Config.ExtraConfig, &types.OptionValue{Key: key, Value: value})
		}
	})
}

func changeHost(c change) {
	ref := types.ManagedObjectReference{Type: "HostSystem", Value: c.Host}
	host := simulator.Map.Get(ref).(*simulator.HostSystem)
	simulator.Map.WithLock(host, func() {
		set(&host.Name, c.Name)
		if c.Connection != "" {
			host.Runtime.ConnectionState = types.HostSystemConnectionState(c.Connection)
		}
		if c.Maintenance != nil {
			host.Runtime.InMaintenanceMode = *c.Maintenance
		}
	})
}

func set(field *string, value string) {
	if value != "" {
		*field = value
	}
}
