package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"sync"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// What govmomi 0.24 lacks and consoles need: AcquireTicket, AcquireMksTicket's successor, for all machines,
// and FindAllByUuid. Machines made later are not wrapped.

// ticketForm is what tickets of one kind say beside themselves; tests set it through the control.
type ticketForm struct {
	Host        string      `json:"host"`
	Port        int32       `json:"port"`
	URL         string      `json:"url"` // the ticket is appended to it
	SHA1        string      `json:"sha1"`
	Thumbprints [][2]string `json:"thumbprints"` // algorithm and digest
	Certificate string      `json:"certificate"`
	CfgFile     string      `json:"cfgFile"` // default: as the datastore has it, with a space in it
	Refuse      bool        `json:"refuse"`  // there are no tickets of this kind
}

// ticketOffice gives tickets and writes down which.
type ticketOffice struct {
	lock  sync.Mutex
	forms map[string]ticketForm
	file  string
	given int
}

func newTicketOffice(file string) *ticketOffice {
	return &ticketOffice{file: file, forms: map[string]ticketForm{"webmks": {}, "mks": {Port: 902}}}
}

// The reply's element is named after this Go type; govmomi's own has no list of thumbprints.
type AcquireTicketResponse struct {
	Returnval ticket `xml:"returnval"`
}

type thumbprint struct {
	Thumbprint    string `xml:"thumbprint"`
	HashAlgorithm string `xml:"hashAlgorithm,omitempty"`
}

type ticket struct {
	Ticket      string       `xml:"ticket"`
	CfgFile     string       `xml:"cfgFile"`
	Host        string       `xml:"host,omitempty"`
	Port        int32        `xml:"port,omitempty"`
	SHA1        string       `xml:"sslThumbprint,omitempty"`
	Thumbprints []thumbprint `xml:"certThumbprintList,omitempty"`
	URL         string       `xml:"url,omitempty"`
	Certificate string       `xml:"sslCertificate,omitempty"`
}

type acquireTicketBody struct {
	Res    *AcquireTicketResponse `xml:"urn:vim25 AcquireTicketResponse,omitempty"`
	Fault_ *soap.Fault            `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault,omitempty"`
}

func (b *acquireTicketBody) Fault() *soap.Fault { return b.Fault_ }

// consoleVM embeds by value: with a pointer govmomi's container view does not find the type inside.
type consoleVM struct {
	simulator.VirtualMachine
	office *ticketOffice
}

// AcquireTicket gives a ticket of 128 bits to whoever may see the console of a running machine.
func (vm *consoleVM) AcquireTicket(ctx *simulator.Context, req *types.AcquireTicket) soap.HasFault {
	form, known := vm.office.form(req.TicketType)
	if !known || form.Refuse {
		fault := &types.InvalidArgument{InvalidProperty: "ticketType"}
		return &acquireTicketBody{Fault_: simulator.Fault("A specified parameter was not correct: ticketType", fault)}
	}
	if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
		fault := &types.InvalidPowerState{
			RequestedState: types.VirtualMachinePowerStatePoweredOn,
			ExistingState:  vm.Runtime.PowerState,
		}
		return &acquireTicketBody{Fault_: simulator.Fault("The attempted operation cannot be performed in the current state", fault)}
	}
	cfgFile := vm.Config.Files.VmPathName
	if form.CfgFile != "" {
		cfgFile = form.CfgFile
	}
	answer := vm.office.give(req.TicketType, vm.Self.Value, cfgFile, form)
	return &acquireTicketBody{Res: &AcquireTicketResponse{Returnval: answer}}
}

func (o *ticketOffice) form(kind string) (ticketForm, bool) {
	o.lock.Lock()
	defer o.lock.Unlock()
	form, known := o.forms[kind]
	return form, known
}

func (o *ticketOffice) give(kind, vm, cfgFile string, form ticketForm) ticket {
	secret := make([]byte, 16)
	if _, err := rand.Read(secret); err != nil {
		panic(err)
	}
	t := ticket{Ticket: hex.EncodeToString(secret), CfgFile: cfgFile, Host: form.Host, Port: form.Port,
		SHA1: form.SHA1, Certificate: form.Certificate}
	if form.URL != "" {
		t.URL = form.URL + t.Ticket
	}
	for _, pair := range form.Thumbprints {
		t.Thumbprints = append(t.Thumbprints, thumbprint{HashAlgorithm: pair[0], Thumbprint: pair[1]})
	}
	o.lock.Lock()
	defer o.lock.Unlock()
	o.given++
	o.note(map[string]string{"ticket": t.Ticket, "kind": kind, "vm": vm, "cfgFile": cfgFile})
	return t
}

// note appends a line to the file that a stand-in for ESXi reads. Called under the lock.
func (o *ticketOffice) note(line map[string]string) {
	if o.file == "" {
		return
	}
	file, err := os.OpenFile(o.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if err := json.NewEncoder(file).Encode(line); err != nil {
		panic(err)
	}
}

// consoleSearchIndex finds all machines of a UUID, not only some one.
type consoleSearchIndex struct{ simulator.SearchIndex }

// FindAllByUuid compares as vSphere does, without regard to case.
func (s *consoleSearchIndex) FindAllByUuid(req *types.FindAllByUuid) soap.HasFault {
	res := new(types.FindAllByUuidResponse)
	for _, entity := range simulator.Map.All("VirtualMachine") {
		vm := entity.(*consoleVM)
		uuid := vm.Config.Uuid
		if req.InstanceUuid != nil && *req.InstanceUuid {
			uuid = vm.Config.InstanceUuid
		}
		if strings.EqualFold(uuid, req.Uuid) {
			res.Returnval = append(res.Returnval, vm.Self)
		}
	}
	return &methods.FindAllByUuidBody{Res: res}
}

func addConsoles(office *ticketOffice) {
	for _, entity := range simulator.Map.All("VirtualMachine") {
		vm := entity.(*simulator.VirtualMachine)
		simulator.Map.Put(&consoleVM{VirtualMachine: *vm, office: office})
	}
	simulator.Map.Put(&consoleSearchIndex{*simulator.Map.SearchIndex()})
}

// assert that the wrapped machine is still an entity of the inventory
var _ mo.Entity = (*consoleVM)(nil)
