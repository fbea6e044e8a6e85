package servicefeed

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func TestServices(t *testing.T) {
	t.Parallel()
	f := New()
	put := func(key string, p *millracev1.Process) {
		facts, err := p.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		f.take(key, true, facts)
	}
	put("n.1", &millracev1.Process{Id: 1, ExecutablePath: "/usr/sbin/nginx", Language: "cpp", ListenPorts: []uint32{443, 80}})
	put("n.2", &millracev1.Process{Id: 2, ExecutablePath: "/usr/sbin/nginx", Language: "cpp", ListenPorts: []uint32{80, 443}})
	put("n.3", &millracev1.Process{Id: 3, ExecutablePath: "/srv/cart", Language: "go", ListenPorts: []uint32{8080}})
	put("n.4", &millracev1.Process{Id: 4, ExecutablePath: "/srv/gone", ListenPorts: []uint32{1}})
	f.take("n.4", false, nil)
	f.take("n.5", true, []byte("not a process"))
	got := f.Services()
	if len(got) != 2 || got[0].Name != "cart" || got[1].Processes != 2 || len(got[1].Ports) != 2 || got[1].Ports[0] != 80 {
		t.Errorf("got %+v", got)
	}
}
