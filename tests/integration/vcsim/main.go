// Command vcsim serves the vSphere API for tests: govmomi's simulator with what consoles need added.
//
// Build it with Debian's golang-go and golang-github-vmware-govmomi-dev:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o vcsim ./tests/integration/vcsim
//
// It prints one line of JSON with its addresses and runs until its standard input ends or SIGTERM comes,
// so that it never outlives the tests that started it.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/vmware/govmomi/simulator"
)

type options struct {
	listen, control, username, password, cert, key, api, tickets string
	esx, off                                                     bool
	vms                                                          int
}

func parse() options {
	var o options
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "address of the API")
	flag.StringVar(&o.control, "control", "127.0.0.1:0", "address of the test's control, plain HTTP")
	flag.StringVar(&o.username, "username", "consolekit@vsphere.local", "the one account")
	flag.StringVar(&o.password, "password", "", "its password")
	flag.StringVar(&o.cert, "cert", "", "PEM certificate chain; without it the API is plain HTTP")
	flag.StringVar(&o.key, "key", "", "PEM key")
	flag.StringVar(&o.api, "api", "8.0.3.0", "API version to announce, as vSphere writes it")
	flag.StringVar(&o.tickets, "tickets", "", "file that gets a line of JSON for every ticket")
	flag.BoolVar(&o.esx, "esx", false, "a single ESXi host instead of a vCenter")
	flag.BoolVar(&o.off, "off", false, "leave the machines powered off")
	flag.IntVar(&o.vms, "vms", 2, "machines (of each resource pool)")
	flag.Parse()
	return o
}

func model(o options) *simulator.Model {
	m := simulator.VPX()
	if o.esx {
		m = simulator.ESX()
	} else {
		m.Host, m.ClusterHost = 0, 2
	}
	m.Machine, m.Autostart = o.vms, !o.off
	m.ServiceContent.About.ApiVersion = o.api
	return m
}

func serve(o options, m *simulator.Model) (*simulator.Server, error) {
	m.Service.Listen = &url.URL{Host: o.listen, User: url.UserPassword(o.username, o.password)}
	if o.cert != "" {
		pair, err := tls.LoadX509KeyPair(o.cert, o.key)
		if err != nil {
			return nil, err
		}
		m.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	return m.Service.NewServer(), nil
}

func main() {
	o := parse()
	m := model(o)
	defer m.Remove() // the datastores' folders
	if err := m.Create(); err != nil {
		log.Panic(err)
	}
	office := newTicketOffice(o.tickets)
	addConsoles(office)
	server, err := serve(o, m)
	if err != nil {
		log.Panic(err)
	}
	defer server.Close()
	listener, err := net.Listen("tcp", o.control)
	if err != nil {
		log.Panic(err)
	}
	go func() { _ = http.Serve(listener, control(office)) }()
	started := map[string]string{"url": server.URL.Host, "control": "http://" + listener.Addr().String()}
	if err := json.NewEncoder(os.Stdout).Encode(started); err != nil {
		log.Panic(err)
	}
	wait()
}

// wait returns when nobody needs us any more.
func wait() {
	done := make(chan os.Signal, 1)
	signal.Notify(done, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		done <- syscall.SIGTERM
	}()
	<-done
}
