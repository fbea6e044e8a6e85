package pipeline

import (
	"os"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/targets"
)

const podID = "0b3c7f9e-3f43-4d5e-9d6a-1f2e3d4c5b6a"

var shopRule = config.Service{Name: "web", K8sNamespace: "shop"}

// inPod is a fixture whose process is in a pod of which nothing is known.
func inPod(t *testing.T, discovery config.Discovery) (*fixture, *process.Process) {
	t.Helper()
	f := newFixture(t, discovery)
	f.PodWait, f.PodWaitBytes = time.Minute, 1<<20
	f.held.maxPodBytes = f.PodWaitBytes
	tables := make(chan *targets.Table, 1)
	f.Tables = tables
	proc := f.Inventory.Lookup(f.pid)
	proc.Facts().PodUid = podID
	proc.Selection = process.Selection{}
	f.decide(proc, true)
	return f, proc
}

// says makes the table of a document in which the pod is, or is not, in the namespace of the rule.
func (f *fixture) says(t *testing.T, matches bool, observe millracev1.Observe) *targets.Table {
	t.Helper()
	m := &millracev1.Targets{Version: 1, Rules: f.Rules.PodRules(), Pods: []*millracev1.TargetPod{{Uid: podID, Observe: observe}}}
	if matches {
		m.Pods[0].Rules = []uint32{0}
	}
	data, err := m.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	table, err := targets.New(f.Rules.PodRules()).Next(data, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func (f *fixture) tell(table *targets.Table) {
	tables := make(chan *targets.Table, 1)
	tables <- table
	f.Tables = tables
	f.Idle(true)
	f.flushAll()
}

const request = "GET / HTTP/1.1\r\n\r\n"

func payloads(events []*millracev1.Event) (n int) {
	for _, ev := range events {
		if len(ev.Payload) > 0 {
			n++
		}
	}
	return n
}

// What a pod does before it is decided about is kept, and published once the pod is selected, or never.
func TestHeldUntilPodIsDecided(t *testing.T) {
	t.Parallel()
	for _, matches := range []bool{true, false} {
		f, proc := inPod(t, config.Discovery{Services: []config.Service{shopRule}})
		k := f.connect("127.0.0.1:80")
		for i := range uint64(10) {
			f.send(k, i*uint64(len(request)), request)
		}
		f.Idle(true)
		f.flushAll()
		if n := len(f.out.events()); n != 0 || f.source.policies[f.pid].Ignore {
			t.Fatalf("%d events before it was decided", n)
		}
		f.tell(f.says(t, matches, 0))
		f.send(k, 10*uint64(len(request)), request)
		f.flushAll()
		c := f.Counters()
		if matches {
			if n := payloads(f.out.events()); n != 11 || proc.Facts().RuleServiceName != "web" || c.HeldFor(Shipped) != 10 {
				t.Errorf("%d events, named %q, %d shipped", n, proc.Facts().RuleServiceName, c.HeldFor(Shipped))
			}
		} else if n := len(f.out.events()); n != 0 || !f.source.policies[f.pid].Ignore || c.HeldFor(Refused) != 10 {
			t.Errorf("%d events, policy %+v, %d refused", n, f.source.policies[f.pid], c.HeldFor(Refused))
		}
		if f.held.podBytes != 0 || len(f.held.processes) != 0 {
			t.Errorf("still held: %+v", f.held)
		}
	}
}

// A pod that exits before it is decided about is not lost.
func TestHeldOfExitedPod(t *testing.T) {
	t.Parallel()
	f, proc := inPod(t, config.Discovery{Services: []config.Service{shopRule}})
	f.send(f.connect("127.0.0.1:80"), 0, request)
	f.Inventory.Exit(f.pid)
	f.tell(f.says(t, true, 0))
	if n := payloads(f.out.events()); n != 1 || proc.Selection.State != process.Selected {
		t.Errorf("%d events, %+v", n, proc.Selection)
	}
}

// Nobody decides in time: rules of pods match nothing, and what was held is not published. A decision that comes later
// counts from then on.
func TestPodIsGivenUp(t *testing.T) {
	t.Parallel()
	f, _ := inPod(t, config.Discovery{Services: []config.Service{shopRule}})
	k := f.connect("127.0.0.1:80")
	f.send(k, 0, request)
	f.PodWait = 0
	f.Idle(true)
	f.flushAll()
	c := f.Counters()
	if events := f.out.events(); len(events) != 0 || !f.source.policies[f.pid].Ignore || c.HeldFor(TooLate) != 1 || c.PodsGivenUp() != 1 {
		t.Fatalf("events %v, policy %+v, %d too late, %d given up", events, f.source.policies[f.pid], c.HeldFor(TooLate), c.PodsGivenUp())
	}
	f.tell(f.says(t, true, 0))
	if f.source.policies[f.pid].Ignore {
		t.Error("still ignored")
	}
	f.send(k, 100*uint64(len(request)), request)
	f.flushAll()
	if n := payloads(f.out.events()); n != 1 {
		t.Errorf("%d events", n)
	}
	if f.Counters().Lost(millracev1.LossCause_LOSS_CAUSE_TABLE_FULL) != 0 {
		t.Error("what was not watched counts as lost")
	}
}

// Where no rule is about pods, waiting ends in their being watched: when it takes too long, or when there is no more
// room, and then nothing is lost.
func TestWaitForAnnotation(t *testing.T) {
	t.Parallel()
	f, _ := inPod(t, config.Discovery{})
	k := f.connect("127.0.0.1:80")
	line := "GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\n\r\n"
	const count = 200 // more than a quarter of PodWaitBytes
	for i := range uint64(count) {
		f.send(k, i*uint64(len(line)), line)
		if f.held.podBytes > f.PodWaitBytes/4 {
			t.Fatalf("%d bytes held", f.held.podBytes)
		}
	}
	f.flushAll()
	if n := payloads(f.out.events()); n != count || f.held.podBytes != 0 {
		t.Errorf("%d events, %d bytes held", n, f.held.podBytes)
	}
	f.tell(f.says(t, false, millracev1.Observe_OBSERVE_NO))
	if !f.source.policies[f.pid].Ignore {
		t.Error("a pod that opted out is watched")
	}
}

// What is held of a pod that may not be watched in the end is bounded; what has no room is lost, from one place on, and
// counted.
func TestHeldOfPodIsBounded(t *testing.T) {
	t.Parallel()
	f, _ := inPod(t, config.Discovery{Services: []config.Service{shopRule}})
	k := f.connect("127.0.0.1:80")
	line := "GET /" + strings.Repeat("a", 8000) + " HTTP/1.1\r\n\r\n"
	const count = 200
	for i := range uint64(count) {
		f.send(k, i*uint64(len(line)), line)
	}
	if f.held.podBytes > f.PodWaitBytes/4 || f.held.bytes != 0 {
		t.Errorf("%d bytes held", f.held.podBytes)
	}
	f.tell(f.says(t, true, 0))
	events := f.out.events()
	lost := f.Counters().Lost(millracev1.LossCause_LOSS_CAUSE_TABLE_FULL)
	if uint64(len(events))+lost != count || lost == 0 || f.Counters().HeldFor(NoRoom) != lost {
		t.Errorf("%d events, %d lost, of %d", len(events), lost, count)
	}
	for i, ev := range events {
		if ev.Offset != uint64(i*len(line)) {
			t.Fatalf("event %d is from offset %d", i, ev.Offset)
		}
	}
}

// A verdict that changes moves a process both ways. Readers hear that no more comes, and later of a connection that was
// joined, so that what happened in between does not count as lost.
func TestVerdictChanges(t *testing.T) {
	t.Parallel()
	f, proc := inPod(t, config.Discovery{Services: []config.Service{shopRule}})
	f.tell(f.says(t, true, 0))
	k := f.connect("127.0.0.1:80")
	k.OpenedNS = 3
	f.send(k, 0, request)
	f.tell(f.says(t, false, 0))
	events := f.out.events()
	if len(events) != 2 || events[1].Kind != millracev1.EventKind_EVENT_KIND_END_OF_CAPTURE || events[1].TimeNs == 0 || !f.source.policies[f.pid].Ignore {
		t.Fatalf("%v", events)
	}
	f.send(k, 18, request) // On its way when the kernel side was told.
	f.flushAll()
	if n := len(f.out.events()); n != 2 {
		t.Fatalf("%d events of a process that is not watched", n-2)
	}
	f.tell(f.says(t, true, 0))
	f.send(k, 18*100, request)
	f.flushAll()
	last := f.out.batches[len(f.out.batches)-1]
	if n := payloads(f.out.events()); n != 2 || len(last.Connections) != 1 || last.Connections[0].OpenedNs != 0 || f.source.policies[f.pid].Ignore {
		t.Errorf("%d events; %v", n, last)
	}
	if proc.Selection.State != process.Selected {
		t.Errorf("%+v", proc.Selection)
	}
	// The same verdict again changes nothing.
	before := len(f.out.events())
	f.tell(f.says(t, true, 0))
	if n := len(f.out.events()); n != before {
		t.Errorf("%d events more", n-before)
	}
}

// Others wait for what a pod did, but not for as long as it may take to decide about it.
func TestOthersDoNotWaitForPods(t *testing.T) {
	t.Parallel()
	f, _ := inPod(t, config.Discovery{Services: []config.Service{shopRule}})
	step := func() {
		f.Idle(true)
		f.flushAll()
		f.Idle(true)
	}
	step()
	f.send(f.connect("127.0.0.1:80"), 0, request)
	step()
	before := f.Settled()
	step()
	if f.Settled() != before {
		t.Error("what is held is not waited for")
	}
	for _, held := range f.held.processes {
		held.since = time.Now().Add(-2 * holdTime)
	}
	step()
	step()
	now := f.Settled()
	if now <= before {
		t.Error("a pod that nobody decides about keeps everybody waiting")
	}
	f.tell(f.says(t, true, 0))
	step()
	if n := payloads(f.out.events()); n != 1 || f.Settled() < now {
		t.Errorf("%d events; settled %d, before %d", n, f.Settled(), now)
	}
}

// Outside of pods nothing waits.
func TestNoPod(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{Services: []config.Service{shopRule, {ExePath: "*"}}})
	f.send(f.connect("127.0.0.1:80"), 0, request)
	f.flushAll()
	if n := payloads(f.out.events()); n != 1 {
		t.Errorf("%d events", n)
	}
	if self := f.source.policies[uint32(os.Getpid())]; !self.Ignore {
		t.Errorf("policy of itself %+v", self)
	}
}
