package process

import (
	"net"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestScreens(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"prod", "prod"},
		{"eu-west-1a", "eu-west-1a"},
		{"550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440000"},
		{"4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e47364bf92f3577b34da6a3ce929d0e0e4736"},
		{"postgres://joe:pw@db:5432/x,redis://:pw@h http://h/?a@b", "postgres://***@db:5432/x,redis://***@h http://***@b"},
		{"https://tok@host/x?token=1", "https://***@host/x?***"},
		{"https://joe:p/w@host/x", "https://***@host/x"},
		{"joe:pw@tcp(db:3306)/x", "***@tcp(db:3306)/x"},
		{"AccountName=a;AccountKey=abc", "***"},
		{"ghp_16C7e42F292c6912E7710c838347Ae178B4a", "***"},
		{"sha-Zx81Yq72Wp63Vn54Um45Tl36", "***"},
	} {
		if got := screenValue(tc.in); got != tc.want {
			t.Errorf("%q\ngot  %q\nwant %q", tc.in, got, tc.want)
		}
	}
	for in, want := range map[string]string{
		"shop": "shop", "my-service_2.py": "my-service_2.py", "https://u:p@h/x.py": "fallback", "u:p@h": "fallback", "a=b": "fallback",
		"Zx81Yq72Wp63Vn54Um45Tl36": "fallback",
	} {
		if got := screenName(in, "fallback"); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestParseEnviron(t *testing.T) {
	t.Parallel()
	e := parseEnviron([]byte("SECRET=1\x00OTEL_RESOURCE_ATTRIBUTES=service.name=a%20b,deployment.environment=prod, x.token=t,bad\x00" +
		"OTEL_EXPORTER_OTLP_HEADERS=authorization=x\x00OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c\x00"))
	want := environment{serviceName: "a b", attributes: map[string]string{"deployment.environment": "prod"}, sdkConfigured: true}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("got %+v", e)
	}
	if e := parseEnviron([]byte("OTEL_RESOURCE_ATTRIBUTES=service.name=a\x00OTEL_SERVICE_NAME=b")); e.serviceName != "b" || e.sdkConfigured {
		t.Errorf("got %+v", e)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	s, err := parseStat([]byte("42 (a b) c) S 7 1 1 0 -1 2097152 " + strings.Repeat("0 ", 12) + "12345 0\n"))
	if err != nil || s != (stat{command: "a b) c", state: 'S', parent: 7, startTicks: 12345, kernelThread: true}) {
		t.Errorf("%+v %v", s, err)
	}
	for _, bad := range []string{"", "1 (x", "1 )x(", "1 (x) S 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q taken", bad)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add([]byte("42 (a) S 7 1 1 0 -1 2097152 0 0 0 0 0 0 0 0 0 0 0 0 12345 0"))
	f.Add([]byte("mysql\x00-psecret\x00http://a:b@c"))
	f.Add([]byte("OTEL_RESOURCE_ATTRIBUTES=a=%zz,b=%20"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = parseStat(b)
		parseCgroup(string(b))
		parseEnviron(b)
		readListeners(strings.NewReader(string(b)), map[uint64]uint16{})
		screenValue(string(b))
	})
}

func TestInventoryOfItself(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	inv, err := New("node")
	if err != nil {
		t.Fatal(err)
	}
	if err := inv.Scan(); err != nil {
		t.Fatal(err)
	}
	p := inv.Lookup(uint32(os.Getpid()))
	facts := p.Facts()
	if !p.Inspected || facts.Language != "go" || facts.RuntimeVersion != runtime.Version() || facts.Node != "node" || facts.Id == 0 ||
		!strings.HasPrefix(p.Program.GoModule, "millrace.dev/") {
		t.Errorf("program %+v, facts %v", p.Program, facts)
	}
	if port := uint32(listener.Addr().(*net.TCPAddr).Port); !slices.Contains(facts.ListenPorts, port) {
		t.Errorf("listens on %v, want %d among them", facts.ListenPorts, port)
	}
	if inv.Lookup(0) != nil {
		t.Error("process 0")
	}
}

func TestForkExecExit(t *testing.T) {
	inv, err := New("node")
	if err != nil {
		t.Fatal(err)
	}
	self := inv.Lookup(uint32(os.Getpid()))
	command := exec.Command("sleep", "30")
	command.Env = []string{"OTEL_SERVICE_NAME=sleeper"}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Process.Kill(); _ = command.Wait() }()
	pid := uint32(command.Process.Pid)
	child := inv.Fork(pid, uint32(os.Getpid()), 0)
	if child.ID == self.ID || child.Facts().ParentPid != uint32(os.Getpid()) {
		t.Errorf("child %v", child.Facts())
	}
	id := child.ID
	if again := inv.Exec(pid, "", 0); again != child || child.ID != id || child.Facts().OtelServiceName != "sleeper" ||
		child.Facts().ProgramName != "sleep" || child.Facts().CommandArgs != nil {
		t.Errorf("after exec %v", again.Facts())
	}
	inv.worker.drain()
	seen := false
	inv.Poll(func(p *Process) { seen = seen || p == child })
	if !seen || child.Facts().Language != "cpp" {
		t.Errorf("language %q, told %v", child.Facts().Language, seen)
	}
	if inv.Exit(pid) != child || inv.Exit(pid) != nil || inv.Lookup(pid) != child {
		t.Error("exit")
	}
	// Too short to be seen: still a process.
	gone := inv.Fork(4194303, uint32(os.Getpid()), 1e9)
	if gone == nil || gone.ID == 0 || gone.Facts().Command != self.Facts().Command {
		t.Errorf("short process %v", gone.Facts())
	}
	if inv.Exec(4194303, "flash", 1e9) != gone || gone.Facts().Command != "flash" || gone.Facts().ExecutablePath != "" {
		t.Errorf("short process after exec %v", gone.Facts())
	}
}

func BenchmarkExec(b *testing.B) {
	inv, err := New("node")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		inv.Exec(uint32(os.Getpid()), "", 0)
		inv.worker.drain()
		inv.Poll(nil)
	}
}
