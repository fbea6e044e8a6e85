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

const testID = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParseCgroup(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, path, container string }{
		{"0::/system.slice/nginx.service", "/system.slice/nginx.service", ""},
		{"0::/", "/", ""},
		{"0::/system.slice/docker-" + testID + ".scope", "/system.slice/docker-" + testID + ".scope", testID},
		{"12:pids:/docker/" + testID + "\n1:name=systemd:/docker/" + testID + "\n0::/system.slice", "/docker/" + testID, testID},
		{"0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + testID + ".scope", "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + testID + ".scope", testID},
		{"0::/kubepods/burstable/pod1/" + testID, "/kubepods/burstable/pod1/" + testID, testID},
		{"0::/kubepods.slice/crio-" + testID + ".scope", "/kubepods.slice/crio-" + testID + ".scope", testID},
		{"0::/kubepods.slice/crio-conmon-" + testID + ".scope", "/kubepods.slice/crio-conmon-" + testID + ".scope", ""},
		{"0::/a/kubepods-pod1.slice:cri-containerd:" + testID, "/a/kubepods-pod1.slice:cri-containerd:" + testID, testID},
		{"0::/machine.slice/libpod-" + testID + ".scope/container", "/machine.slice/libpod-" + testID + ".scope/container", testID},
		{"4:memory:/user\n3:cpu:/x\n0::/v2", "/v2", ""},
		{"garbage\n\n", "", ""},
	} {
		path, container := parseCgroup(tc.text)
		if path != tc.path || container != tc.container {
			t.Errorf("%q: %q %q", tc.text, path, container)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"app --password=x --port=80", "app --password=*** --port=80"},
		{"app --password x --port 80", "app --password *** --port 80"},
		{"app --db-Password x", "app --db-Password ***"},
		{"app --password --port 80", "app --password --port 80"},
		{"app --password-file /etc/x", "app --password-file /etc/x"},
		{"mysql -uroot -psecret", "mysql -uroot -p***"},
		{"app -p8080 -p 80 -p80:80", "app -p8080 -p 80 -p80:80"},
		{"redis-cli -a secret ping", "redis-cli -a *** ping"},
		{"redis-server --requirepass secret", "redis-server --requirepass ***"},
		{"app postgres://joe:pw@db:5432/x,redis://:pw@h http://h/?a@b", "app postgres://joe:***@db:5432/x,redis://:***@h http://h/?a@b"},
		{"git https://tok@host/x", "git https://***@host/x"},
		{"env DB_PASSWORD=x A=b", "env DB_PASSWORD=*** A=b"},
		{"curl -u joe:pw -H Authorization:x", "curl -u *** -H Authorization: ***"},
	} {
		got := strings.Join(arguments([]byte(strings.ReplaceAll(tc.in, " ", "\x00")+"\x00")), " ")
		if got != tc.want {
			t.Errorf("%q\ngot  %q\nwant %q", tc.in, got, tc.want)
		}
	}
	if got := arguments([]byte("a\x00" + strings.Repeat("é", 2000))); len(strings.Join(got, "")) > maxArguments {
		t.Errorf("%d bytes", len(strings.Join(got, "")))
	}
	if got := arguments(nil); got != nil {
		t.Errorf("no arguments: %q", got)
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
		if args := arguments(b); len(strings.Join(args, "")) > maxArguments+len(mask)*len(args) {
			t.Fatalf("%d bytes", len(strings.Join(args, "")))
		}
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
		!slices.Equal(child.Facts().CommandArgs, []string{"sleep", "30"}) {
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
