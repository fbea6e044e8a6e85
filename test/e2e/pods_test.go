package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// podRule is the rule of the tests: pods in one namespace.
var podRule = config.Service{K8sNamespace: "chosen"}

const podRuleText = "discovery:\n  services:\n    - name: chosen\n      k8s_namespace: chosen\n"

// pods are control groups named as the kubelet names those of pods, and what an enricher would say of them.
type pods struct {
	t        *testing.T
	root     string
	kv       jetstream.KeyValue
	document *millracev1.Targets
	port     int
	made     int
	tap      *tap
	observed *observed

	connection *nats.Conn
}

// newPods starts an instance with the rule. Its node is named node.
func newPods(t *testing.T, settings string) *pods {
	t.Helper()
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	p := &pods{t: t, port: port, tap: &tap{}, document: &millracev1.Targets{Version: 1, Node: "node", Rules: []uint64{podRule.PodRule()}}}
	needRoot(t)
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	i, err := product.Start(product.Options{Binary: path, Name: "run", Directory: t.TempDir(), Config: fmt.Sprintf(
		"bus:\n  embedded:\n    listen: 127.0.0.1:%d\ncapture:\n  node: node\n%s%s", port, podRuleText, settings)})
	if err != nil {
		t.Fatal(err)
	}
	p.observed = &observed{Instance: i, index: spans.Follow(i.Spans)}
	t.Cleanup(func() {
		if err := i.Stop(); err != nil {
			t.Error(err)
		}
		p.observed.index.Close()
		if t.Failed() {
			t.Log("log of millrace:\n" + i.Log())
		}
	})
	p.connect(fmt.Sprintf("nats://127.0.0.1:%d", port))
	p.write()
	if err := i.Ready(30 * time.Second); err != nil {
		t.Fatal(err)
	}
	hierarchy := "/sys/fs/cgroup/pids" // version 1
	if _, err := os.Stat(hierarchy); err != nil {
		hierarchy = "/sys/fs/cgroup"
	}
	p.root = filepath.Join(hierarchy, fmt.Sprintf("millrace-e2e-%d-%d", os.Getpid(), port))
	t.Cleanup(func() { // by then the processes in them have ended
		var all []string
		_ = filepath.WalkDir(p.root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				all = append(all, path)
			}
			return nil
		})
		for i := len(all) - 1; i >= 0; i-- {
			for range 100 {
				if err := os.Remove(all[i]); err == nil {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
	})
	return p
}

// connect taps raw events and opens the bucket, once there are a server and a bucket.
func (p *pods) connect(url string) {
	t := p.t
	t.Helper()
	open := func() error {
		connection, err := nats.Connect(url)
		if err != nil {
			return err
		}
		js, err := jetstream.New(connection)
		if err == nil {
			p.kv, err = js.KeyValue(t.Context(), bus.BucketTargets)
		}
		if err != nil {
			connection.Close()
			return err
		}
		p.connection = connection
		return nil
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := open()
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	t.Cleanup(p.connection.Close)
	if _, err := p.connection.Subscribe("millrace.raw.*.*", p.tap.take); err != nil {
		t.Fatal(err)
	}
	if err := p.connection.Flush(); err != nil {
		t.Fatal(err)
	}
}

// pod makes the control group of a pod's container. through runs a program in it, as a container's runtime does: what
// is in the group before the program begins is not the program yet.
func (p *pods) pod() (uid string, through []string) {
	p.t.Helper()
	p.made++
	uid = fmt.Sprintf("%08x-%04x-4000-8000-%012x", os.Getpid(), p.port, p.made)
	group := filepath.Join(p.root, "kubepods/burstable/pod"+uid, fmt.Sprintf("%064x", p.made))
	if err := os.MkdirAll(group, 0o755); err != nil {
		p.t.Fatal(err)
	}
	return uid, []string{"/bin/sh", "-c", "echo $$ > " + group + "/cgroup.procs && exec \"$@\"", "sh"}
}

// decide says of a pod whether the rule matches, and what its annotation is.
func (p *pods) decide(uid string, matches bool, observe millracev1.Observe) {
	p.t.Helper()
	var pod *millracev1.TargetPod
	for _, known := range p.document.Pods {
		if known.Uid == uid {
			pod = known
		}
	}
	if pod == nil {
		pod = &millracev1.TargetPod{Uid: uid}
		p.document.Pods = append(p.document.Pods, pod)
	}
	pod.Observe, pod.Rules = observe, nil
	if matches {
		pod.Rules = []uint32{0}
	}
	p.write()
}

func (p *pods) write() {
	p.t.Helper()
	p.document.Generation++
	data, err := p.document.MarshalVT()
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.kv.Put(p.t.Context(), "node", data); err != nil {
		p.t.Fatal(err)
	}
}

// talk is a conversation whose server is in a pod, whose client is in that one or elsewhere.
func (p *pods) talk(name string, server, client []string) *scene {
	p.t.Helper()
	s := newScene(p.t)
	s.srvPrefix, s.clientPrefix = server, client
	for c := range 3 {
		conn := fmt.Sprint("c", c)
		s.open(conn)
		for n := range 20 {
			s.turn(conn, post(fmt.Sprintf("/pods/%s/%d/%d", name, c, n), 10, 100*n))
		}
		s.close(conn)
	}
	s.play()
	return s
}

// Pods are watched or not by what the bucket says. What they do before it says anything is not lost, however short they
// live; of a pod that is refused nothing leaves the node, and nothing of what no rule selects.
func TestPods(t *testing.T) {
	t.Parallel()
	p := newPods(t, "  pod_wait: 2m\n")
	const none, yes, no = millracev1.Observe_OBSERVE_UNSPECIFIED, millracev1.Observe_OBSERVE_YES, millracev1.Observe_OBSERVE_NO
	var watched, refused []*scene
	for _, tc := range []struct {
		name    string
		matches bool
		observe millracev1.Observe
		watched bool
	}{
		{"selected", true, none, true}, {"other", false, none, false}, {"in", false, yes, true}, {"out", true, no, false},
	} {
		for _, late := range []bool{false, true} {
			uid, through := p.pod()
			if !late {
				p.decide(uid, tc.matches, tc.observe)
			}
			s := p.talk(fmt.Sprint(tc.name, late), through, through)
			if late { // Both processes have exited.
				p.decide(uid, tc.matches, tc.observe)
			}
			if tc.watched {
				watched = append(watched, s)
			} else {
				refused = append(refused, s)
			}
		}
	}
	refused = append(refused, p.talk("outside", nil, nil))
	// Behind all others: when its spans are there, so is all that is to come.
	uid, through := p.pod()
	p.decide(uid, true, none)
	watched = append(watched, p.talk("last", through, through))
	for _, s := range watched {
		s.check(p.observed)
		if p.tap.of(s).events == 0 {
			t.Errorf("no event of %s is known to have left the node", s.truths[0].path)
		}
	}
	for _, s := range refused {
		if got := p.tap.of(s); got.events != 0 {
			t.Errorf("%d events of %s left the node", got.events, s.truths[0].path)
		}
	}
}

// A pod about which nobody decides is not watched where rules name pods, and what it did is counted as given up.
func TestPodsUndecided(t *testing.T) {
	t.Parallel()
	p := newPods(t, "  pod_wait: 1s\n")
	_, unknown := p.pod()
	s := p.talk("unknown", unknown, unknown)
	for end := time.Now().Add(deadline); ; time.Sleep(50 * time.Millisecond) {
		metrics, err := p.observed.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		if metrics[`millrace_capture_pods_held_events_total{outcome="too_late"}`] > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing was given up")
		}
	}
	uid, through := p.pod()
	p.decide(uid, true, 0)
	p.talk("known", through, through).check(p.observed)
	if got := p.tap.of(s); got.events != 0 {
		t.Errorf("%d events left the node", got.events)
	}
}

// asker requests /flip/0, /flip/1, ... one after the other, on a connection that it keeps and on new ones in turn,
// until a file is there. It prints how many it made.
const asker = `
import http.client, os, sys
port, stop = int(sys.argv[1]), sys.argv[2]
kept, n = http.client.HTTPConnection('127.0.0.1', port), 0
while not os.path.exists(stop):
    c = kept if n % 2 else http.client.HTTPConnection('127.0.0.1', port)
    c.request('GET', '/flip/%d' % n)
    c.getresponse().read()
    if c is not kept:
        c.close()
    n += 1
print(n)
`

// sequence notes in which order raw events of a process and ends of what is captured of it came.
type sequence struct {
	mu    sync.Mutex
	pid   uint32
	ended int // batches with an end of capture
	after int // events since the last of them
}

func (x *sequence) take(m *nats.Msg) {
	t := &tap{}
	t.take(m)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range t.batches {
		owners := map[uint64]bool{}
		for _, p := range b.Processes {
			owners[p.Id] = p.Pid == x.pid
		}
		end := false
		for _, e := range b.Events {
			if e.Connection == 0 || !owners[b.Connections[e.Connection-1].Process] {
				continue
			}
			if e.Kind == millracev1.EventKind_EVENT_KIND_END_OF_CAPTURE {
				end = true
				x.after = 0
			} else {
				x.after++
			}
		}
		if end {
			x.ended++
		}
	}
}

// A verdict that changes under load moves a pod both ways: once readers have heard that no more comes, nothing does;
// once it is selected again, nothing is missing.
func TestPodVerdictChanges(t *testing.T) {
	t.Parallel()
	p := newPods(t, "  pod_wait: 2m\n")
	var served atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { served.Add(1); fmt.Fprint(w, "ok") })}
	go server.Serve(listener) //nolint:errcheck // It ends with the test.
	t.Cleanup(func() { _ = server.Close() })
	uid, through := p.pod()
	p.decide(uid, true, 0)
	stop := filepath.Join(t.TempDir(), "stop")
	arguments := append(through, "python3", "-c", asker, strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), stop)
	client := exec.Command(arguments[0], arguments[1:]...)
	var out strings.Builder
	client.Stdout, client.Stderr = &out, os.Stderr
	x := &sequence{}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Process.Kill() })
	x.pid = uint32(client.Process.Pid)
	if _, err := p.connection.Subscribe("millrace.raw.*.*", x.take); err != nil {
		t.Fatal(err)
	}
	until := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(deadline); !f(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("waited in vain: " + what)
			}
		}
	}
	more := func(n int64) {
		t.Helper()
		from := served.Load()
		until("requests are served", func() bool { return served.Load() >= from+n })
	}
	seen := func(f func() bool) func() bool {
		return func() bool { x.mu.Lock(); defer x.mu.Unlock(); return f() }
	}
	const phases = 3
	hidden := int64(0)
	for range phases {
		until("the pod is watched", seen(func() bool { return x.after > 0 }))
		more(300)
		x.mu.Lock()
		ended := x.ended
		x.mu.Unlock()
		p.decide(uid, false, 0)
		until("no more comes", seen(func() bool { return x.ended > ended }))
		from := served.Load()
		more(300)
		x.mu.Lock()
		if x.after != 0 {
			t.Errorf("%d events after no more was to come", x.after)
		}
		x.mu.Unlock()
		hidden += served.Load() - from
		p.decide(uid, true, 0)
	}
	until("the pod is watched", seen(func() bool { return x.after > 0 }))
	more(300)
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(); err != nil {
		t.Fatal(err)
	}
	made, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	p.checkFlips(int(x.pid), made, phases, int(hidden))
}

// checkFlips compares the spans of the client with the requests that it made: those of each phase in which it was
// watched are there without a hole, but for the two at its ends.
func (p *pods) checkFlips(pid, made, phases, hidden int) {
	t := p.t
	t.Helper()
	all := p.observed.await(made-hidden, pid)
	found := make([]int, made)
	for _, sp := range all {
		path, _ := sp.Target()
		n, err := strconv.Atoi(strings.TrimPrefix(path, "/flip/"))
		if err != nil || n >= made {
			t.Errorf("span of nothing: %v", sp)
			continue
		}
		found[n]++
	}
	holes, missing := 0, 0
	for n, count := range found {
		if count > 1 {
			t.Errorf("request %d has %d spans", n, count)
		}
		if count == 0 {
			missing++
			if n == 0 || found[n-1] > 0 {
				holes++
			}
		}
	}
	t.Logf("%d requests, %d while the pod was not watched for certain, %d spans, %d holes", made, hidden, len(all), holes)
	if holes != phases || missing < hidden {
		t.Errorf("%d holes, want %d; %d requests without a span, at least %d were made while the pod was not watched", holes, phases, missing, hidden)
	}
}
