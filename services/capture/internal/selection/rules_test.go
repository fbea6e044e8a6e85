package selection

import (
	"net/netip"
	"os"
	"testing"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/targets"
)

// testProcess is this test's process with other facts.
func testProcess(t *testing.T, change func(*process.Process, *millracev1.Process)) *process.Process {
	t.Helper()
	inventory, err := process.New("n")
	if err != nil {
		t.Fatal(err)
	}
	p := inventory.Lookup(uint32(os.Getpid()))
	p.Inspected, p.Program = true, process.Program{}
	facts := p.Facts()
	facts.ExecutablePath, facts.Language, facts.ListenPorts = "/usr/bin/shop", "java", []uint32{8080}
	if change != nil {
		change(p, facts)
	}
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	services := func(s ...config.Service) config.Discovery { return config.Discovery{Services: s} }
	for _, tc := range []struct {
		name   string
		cfg    config.Discovery
		change func(*process.Process, *millracev1.Process)
		want   process.Selection
	}{
		{"everything", config.Discovery{}, nil, process.Selection{State: process.Selected}},
		{"kernel thread", config.Discovery{}, func(p *process.Process, _ *millracev1.Process) { p.KernelThread = true }, process.Selection{State: process.Ignored}},
		{"not inspected", config.Discovery{}, func(p *process.Process, _ *millracev1.Process) { p.Inspected = false }, process.Selection{}},
		{"own", config.Discovery{}, func(p *process.Process, _ *millracev1.Process) {
			p.Program = process.Program{GoModule: "millrace.dev/services/decoder", GoMain: "millrace.dev/services/decoder/cmd/x"}
		}, process.Selection{State: process.Ignored}},
		{"own test program", config.Discovery{}, func(p *process.Process, _ *millracev1.Process) {
			p.Program = process.Program{GoModule: "millrace.dev/test", GoMain: "millrace.dev/test/apps/shop"}
		}, process.Selection{State: process.Selected}},
		{"listens", services(config.Service{Name: "a", Namespace: "b", OpenPorts: "80, 8000-8999"}), nil, process.Selection{State: process.Selected, Name: "a", Namespace: "b"}},
		{"may connect", services(config.Service{Name: "a", OpenPorts: "80"}), nil, process.Selection{State: process.Conditional}},
		{"program", services(config.Service{ExePath: "*/other"}, config.Service{Name: "a", ExePath: "/usr/*sh?p"}), nil, process.Selection{State: process.Selected, Name: "a"}},
		{"another program", services(config.Service{ExePath: "*/other", OpenPorts: "8080"}), nil, process.Selection{State: process.Ignored}},
		{"languages", services(config.Service{Languages: "{go,java}"}), nil, process.Selection{State: process.Selected}},
		{"no criterion", services(config.Service{Name: "a"}), nil, process.Selection{State: process.Ignored}},
		{"excluded", config.Discovery{ExcludeServices: []config.Service{{OpenPorts: "8080"}}}, nil, process.Selection{State: process.Ignored}},
		{"excluded elsewhere", config.Discovery{ExcludeServices: []config.Service{{OpenPorts: "81"}, {ExePath: "x"}}}, nil, process.Selection{State: process.Selected}},
	} {
		rules, err := New(tc.cfg, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Decide(testProcess(t, tc.change), targets.Verdict{}); got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

func TestConnection(t *testing.T) {
	t.Parallel()
	rules, err := New(config.Discovery{Services: []config.Service{
		{Name: "db", OpenPorts: "6379"}, {Name: "shop", ExePath: "*/shop", OpenPorts: "5432"},
	}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	p := testProcess(t, nil)
	for _, tc := range []struct {
		role          millracev1.Role
		local, remote string
		want          bool
		name          string
	}{
		{millracev1.Role_ROLE_CLIENT, "1.1.1.1:50000", "1.1.1.1:6379", true, ""},
		{millracev1.Role_ROLE_UNSPECIFIED, "1.1.1.1:50000", "1.1.1.1:5432", true, "shop"},
		{millracev1.Role_ROLE_CLIENT, "1.1.1.1:6379", "1.1.1.1:50000", false, ""},
		{millracev1.Role_ROLE_SERVER, "1.1.1.1:6379", "1.1.1.1:50000", true, "db"},
		{millracev1.Role_ROLE_SERVER, "1.1.1.1:80", "1.1.1.1:6379", false, ""},
	} {
		got, ok := rules.Connection(p, targets.Verdict{}, &kernel.Connection{Role: tc.role, Local: netip.MustParseAddrPort(tc.local), Remote: netip.MustParseAddrPort(tc.remote)})
		if ok != tc.want || got.Name != tc.name {
			t.Errorf("%+v: %+v %v", tc, got, ok)
		}
	}
	if _, ok := rules.Connection(p, targets.Verdict{}, &kernel.Connection{UnixPath: "/x"}); ok {
		t.Error("Unix-domain socket matched")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []config.Service{{OpenPorts: "x"}, {OpenPorts: "90-80"}, {OpenPorts: "70000"}, {ExePath: "a[z-a]"}, {Languages: "{go"}} {
		if _, err := New(config.Discovery{Services: []config.Service{s}}, 1); err == nil {
			t.Errorf("%+v taken", s)
		}
	}
}
