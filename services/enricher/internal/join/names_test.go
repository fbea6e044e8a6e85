package join

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	podUID    = "0f0e0d0c-1111-2222-3333-444455556666"
	container = "c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"
)

// listener writes down what is asked; it answers nothing.
type listener struct {
	asked     []string
	forgotten []string
	closed    bool
}

func (l *listener) Pod(uid, container string) { l.asked = append(l.asked, uid+"/"+container) }
func (l *listener) Address(a netip.Addr)      { l.asked = append(l.asked, a.String()) }
func (l *listener) Close()                    { l.closed = true }

func (l *listener) Forget(uid, container string, a netip.Addr) {
	l.forgotten = append(l.forgotten, fmt.Sprint(uid, "/", container, " ", a))
}

// asking gives settings of one partition with somebody to ask, and who was asked last.
func asking() (Settings, func() *listener) {
	var last *listener
	settings := defaults
	settings.Partitions = 1
	settings.Asker = func(int) Asker {
		last = &listener{}
		return last
	}
	return settings, func() *listener { return last }
}

// published keeps messages as lines that tests read: subject and, of each span, service, side and peer.
type published struct {
	lines    []string
	messages [][]byte
}

func (k *published) Publish(subject, _ string, data []byte) {
	k.messages = append(k.messages, append([]byte(subject+" "), data...))
	b := &millracev1.SpanBatch{}
	if !strings.HasPrefix(subject, "millrace.span.") || b.UnmarshalVT(data) != nil {
		return
	}
	who := map[string]string{}
	for _, kv := range b.Resource.Attributes {
		who[kv.Key] = kv.GetStringValue()
	}
	for _, s := range b.Spans {
		line := fmt.Sprintf("%s %s/%s pod %s", s.Kind, who["service.namespace"], who["service.name"], who["k8s.pod.name"])
		for _, kv := range s.Attributes {
			if kv.Key == "peer.service" || kv.Key == "millrace.peer.k8s.service.name" || kv.Key == "millrace.peer.k8s.pod.name" {
				line += " " + kv.Key + "=" + kv.GetStringValue()
			}
		}
		k.lines = append(k.lines, strings.TrimPrefix(line, "SPAN_KIND_"))
	}
}

// podProcess is a process in the pod of these tests.
func podProcess() *millracev1.Process {
	return &millracev1.Process{Id: 1, ProgramName: "shop", Cgroup: "/kubepods/burstable/pod" + podUID + "/" + container, ContainerId: container}
}

func exchangeRecord(t *testing.T, at time.Duration, offset uint64, side millracev1.Side, process *millracev1.Process, remote string) stage.Record {
	t.Helper()
	x := &millracev1.Exchange{
		Key: &millracev1.ExchangeKey{Flow: 5, Offset: offset}, Side: side, Process: process.Id, Transport: millracev1.Transport_TRANSPORT_TCP,
		RemoteAddress: netip.MustParseAddr(remote).AsSlice(), Protocol: millracev1.Protocol_PROTOCOL_HTTP1,
	}
	data, err := (&millracev1.ExchangeBatch{
		Version: 1, Processes: []*millracev1.Process{process}, Exchanges: []*millracev1.Exchange{x},
	}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Subject: bus.ExchangeSubject(0), Time: time.Unix(0, epoch).Add(at), Data: data}
}

func identityRecord(t *testing.T, at time.Duration, ids ...*millracev1.Identity) stage.Record {
	t.Helper()
	data, err := (&millracev1.LinkBatch{Version: 1, Identities: ids}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Subject: bus.LinkSubject(0), Time: time.Unix(0, epoch).Add(at), Data: data}
}

// takenUpRecord says that the question about the pod of a process was taken up.
func takenUpRecord(t *testing.T, at time.Duration, process *millracev1.Process) stage.Record {
	t.Helper()
	of := placeOf(process)
	data, err := (&millracev1.LinkBatch{Version: 1, Asked: []*millracev1.Identity{{PodUid: of.pod, ContainerId: of.container}}}).MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	return stage.Record{Subject: bus.LinkSubject(0), Time: time.Unix(0, epoch).Add(at), Data: data}
}

func podIdentity(name string) *millracev1.Identity {
	return &millracev1.Identity{
		PodUid: podUID, ContainerId: container, Kind: millracev1.IdentityKind_IDENTITY_KIND_POD, ServiceName: name, ServiceNamespace: "store",
		Attributes: []*millracev1.KeyValue{{Key: "k8s.pod.name", Value: &millracev1.KeyValue_StringValue{StringValue: name + "-0"}}},
	}
}

func serviceIdentity(address, name string) *millracev1.Identity {
	return &millracev1.Identity{
		Address: netip.MustParseAddr(address).AsSlice(), Kind: millracev1.IdentityKind_IDENTITY_KIND_SERVICE, ServiceName: name,
		ServiceNamespace: "store",
		Attributes:       []*millracev1.KeyValue{{Key: "k8s.service.name", Value: &millracev1.KeyValue_StringValue{StringValue: name}}},
	}
}

// run gives records to a partition, with ticks between them as the stage has them, and returns what was published.
func run(t *testing.T, p *Partition, until time.Duration, records ...stage.Record) []string {
	t.Helper()
	out := &published{}
	for _, r := range records {
		if err := p.Process(t.Context(), []stage.Record{r}, out); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Tick(t.Context(), time.Unix(0, epoch).Add(until), out); err != nil {
		t.Fatal(err)
	}
	return out.lines
}

// Spans of a pod wait for what the cluster says of it, for the hold time at most, and go out the moment it has said it.
func TestNamesAreWaitedFor(t *testing.T) {
	t.Parallel()
	settings, last := asking()
	p := New(0, settings, newCounters(t))
	client := &millracev1.Process{Id: 2, ProgramName: "curl"}
	both := []stage.Record{
		exchangeRecord(t, 0, 1, clientSide, client, "10.0.0.7"), exchangeRecord(t, 0, 1, serverSide, podProcess(), "10.0.0.9"),
	}
	if lines := run(t, p, 100*time.Millisecond, both...); len(lines) != 0 {
		t.Errorf("published before the pod has a name: %q", lines)
	}
	if want := []string{"10.0.0.7", podUID + "/" + container}; !slices.Equal(last().asked, want) {
		t.Errorf("asked %q, want %q", last().asked, want)
	}
	lines := run(t, p, 200*time.Millisecond, identityRecord(t, 150*time.Millisecond, podIdentity("orders")))
	slices.Sort(lines)
	if want := []string{
		"CLIENT /curl pod  peer.service=orders millrace.peer.k8s.pod.name=orders-0", "SERVER store/orders pod orders-0 peer.service=curl",
	}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	// What comes later has the name at once.
	if lines := run(t, p, 3*time.Second, exchangeRecord(t, 210*time.Millisecond, 2, serverSide, podProcess(), "10.0.0.9")); len(lines) != 1 ||
		lines[0] != "SERVER store/orders pod orders-0" {
		t.Errorf("%q", lines)
	}
	if err := p.Close(); err != nil || !last().closed {
		t.Errorf("closed %v, %v", last().closed, err)
	}
}

// A pod of which nothing is heard keeps nobody longer than the hold time, and is counted; a name that comes later is
// used from then on.
func TestNamesThatDoNotCome(t *testing.T) {
	t.Parallel()
	settings, _ := asking()
	p := New(0, settings, newCounters(t))
	first := exchangeRecord(t, 0, 1, serverSide, podProcess(), "10.0.0.9")
	taken := takenUpRecord(t, time.Second, podProcess())
	if lines := run(t, p, settings.Hold, first, taken); len(lines) != 0 {
		t.Errorf("published before the hold time is over: %q", lines)
	}
	// Whoever takes the partition over takes the question up again; that prolongs nothing.
	again := takenUpRecord(t, settings.Hold+time.Second/2, podProcess())
	if lines := run(t, p, settings.Hold+time.Second, again); !slices.Equal(lines, []string{"SERVER /shop pod "}) {
		t.Errorf("%q", lines)
	}
	if n := testutil.ToFloat64(p.counters.Unnamed); n != 1 {
		t.Errorf("%v spans without a name are counted", n)
	}
	named := identityRecord(t, settings.Hold+2*time.Second, podIdentity("orders"))
	second := exchangeRecord(t, settings.Hold+3*time.Second, 2, serverSide, podProcess(), "10.0.0.9")
	if lines := run(t, p, 3*settings.Hold+3*time.Second, named, second); !slices.Equal(lines, []string{"SERVER store/orders pod orders-0"}) {
		t.Errorf("%q", lines)
	}
}

// A partition that catches up asks about a pod in the middle of what was stored long ago, and the answer stands behind
// all of it: spans wait for it, by whatever time the log has gone on meanwhile.
func TestNamesOfAPartitionThatCatchesUp(t *testing.T) {
	t.Parallel()
	settings, _ := asking()
	p := New(0, settings, newCounters(t))
	behind := time.Minute
	lines := run(t, p, behind, exchangeRecord(t, 0, 1, serverSide, podProcess(), "10.0.0.9"),
		exchangeRecord(t, behind/2, 2, serverSide, podProcess(), "10.0.0.9"))
	if len(lines) != 0 {
		t.Errorf("published before the question could be taken up: %q", lines)
	}
	lines = run(t, p, behind+2*time.Second, takenUpRecord(t, behind, podProcess()), identityRecord(t, behind+time.Second, podIdentity("orders")))
	if want := "SERVER store/orders pod orders-0"; !slices.Equal(lines, []string{want, want}) {
		t.Errorf("%q, want twice %q", lines, want)
	}
	if n := testutil.ToFloat64(p.counters.Unnamed); n != 0 {
		t.Errorf("%v spans without a name are counted", n)
	}
	// What nobody takes up is not waited for without end.
	p = New(0, settings, newCounters(t))
	lines = run(t, p, takenUpWithin+time.Second, exchangeRecord(t, 0, 1, serverSide, podProcess(), "10.0.0.9"))
	if !slices.Equal(lines, []string{"SERVER /shop pod "}) {
		t.Errorf("%q", lines)
	}
}

// A side that is not watched is named by its address.
func TestNamesOfAddresses(t *testing.T) {
	t.Parallel()
	settings, last := asking()
	p := New(0, settings, newCounters(t))
	client := &millracev1.Process{Id: 2, ProgramName: "curl"}
	lines := run(t, p, settings.Hold+time.Second,
		exchangeRecord(t, 0, 1, clientSide, client, "10.96.0.10"), exchangeRecord(t, 0, 2, clientSide, client, "127.0.0.1"),
		identityRecord(t, time.Millisecond, serviceIdentity("10.96.0.10", "checkout"), serviceIdentity("10.96.0.99", "never-asked")))
	slices.Sort(lines)
	want := []string{"CLIENT /curl pod ", "CLIENT /curl pod  peer.service=checkout millrace.peer.k8s.service.name=checkout"}
	if !slices.Equal(lines, want) || !slices.Equal(last().asked, []string{"10.96.0.10"}) {
		t.Errorf("%q, want %q; asked %q", lines, want, last().asked)
	}
	// The address went to nobody: an answer without a kind takes the name away.
	lines = run(t, p, 2*settings.Hold+3*time.Second, identityRecord(t, settings.Hold+time.Second, &millracev1.Identity{
		Address: netip.MustParseAddr("10.96.0.10").AsSlice(),
	}), exchangeRecord(t, settings.Hold+2*time.Second, 3, clientSide, client, "10.96.0.10"))
	if !slices.Equal(lines, []string{"CLIENT /curl pod "}) {
		t.Errorf("%q", lines)
	}
}

// Identities that are malformed are counted, and nothing else comes of them.
func TestMalformedIdentities(t *testing.T) {
	t.Parallel()
	settings, _ := asking()
	p := New(0, settings, newCounters(t))
	run(t, p, time.Second, identityRecord(t, 0,
		&millracev1.Identity{}, &millracev1.Identity{Address: []byte{1, 2}}, &millracev1.Identity{PodUid: "x", Address: []byte{1, 2, 3, 4}}))
	if n := testutil.ToFloat64(p.counters.Malformed.WithLabelValues("identity")); n != 3 {
		t.Errorf("%v of 3 are counted", n)
	}
}

// Names that nobody used for long are forgotten, and whom was asked is told.
func TestNamesAreForgotten(t *testing.T) {
	t.Parallel()
	settings, last := asking()
	p := New(0, settings, newCounters(t))
	run(t, p, time.Hour, exchangeRecord(t, 0, 1, serverSide, podProcess(), "10.0.0.9"))
	if len(p.names.of) != 0 || len(last().forgotten) != 2 {
		t.Errorf("%d names, %q forgotten", len(p.names.of), last().forgotten)
	}
	for i := range maxNames + 10 {
		p.names.find(place{pod: fmt.Sprint(i)}, int64(i), 0)
	}
	if len(p.names.of) > maxNames {
		t.Errorf("%d names", len(p.names.of))
	}
}

// What is published is a function of the log: a partition that goes on from a snapshot, wherever it was taken,
// publishes the same bytes as one that never stopped, although it asks everything again.
func TestNamesInAReplay(t *testing.T) {
	t.Parallel()
	settings, _ := asking()
	client := &millracev1.Process{Id: 2, ProgramName: "curl"}
	other := &millracev1.Process{Id: 3, ProgramName: "mail", Cgroup: strings.Replace(podProcess().Cgroup, podUID, strings.Replace(podUID, "0", "9", 1), 1)}
	records := []stage.Record{
		exchangeRecord(t, 0, 1, clientSide, client, "10.0.0.7"),
		exchangeRecord(t, 10*time.Millisecond, 1, serverSide, podProcess(), "10.0.0.9"),
		exchangeRecord(t, 20*time.Millisecond, 2, clientSide, client, "10.96.0.10"),
		exchangeRecord(t, 30*time.Millisecond, 3, serverSide, other, "10.0.0.9"),
		takenUpRecord(t, 40*time.Millisecond, podProcess()),
		takenUpRecord(t, 200*time.Millisecond, other),
		identityRecord(t, 300*time.Millisecond, serviceIdentity("10.96.0.10", "checkout")),
		takenUpRecord(t, 350*time.Millisecond, other),
		exchangeRecord(t, 400*time.Millisecond, 4, serverSide, podProcess(), "10.0.0.9"),
		identityRecord(t, 500*time.Millisecond, podIdentity("orders")),
		exchangeRecord(t, 600*time.Millisecond, 5, clientSide, podProcess(), "10.96.0.10"),
		exchangeRecord(t, 5*time.Second, 6, serverSide, other, "10.0.0.9"),
		identityRecord(t, 6*time.Second, podIdentity("orders-of-today")),
		exchangeRecord(t, 7*time.Second, 7, serverSide, podProcess(), "10.0.0.9"),
		exchangeRecord(t, 8*time.Second, 7, clientSide, client, "10.0.0.7"),
		identityRecord(t, 20*time.Second),
	}
	step := func(p *Partition, r stage.Record) [][]byte {
		out := &published{}
		if err := p.Tick(t.Context(), r.Time, out); err != nil {
			t.Fatal(err)
		}
		if err := p.Process(t.Context(), []stage.Record{r}, out); err != nil {
			t.Fatal(err)
		}
		slices.SortFunc(out.messages, bytes.Compare)
		return out.messages
	}
	whole := New(0, settings, newCounters(t))
	var snapshots [][]byte
	var want [][][]byte
	for _, r := range records {
		snapshot, err := whole.Snapshot(nil)
		if err != nil {
			t.Fatal(err)
		}
		snapshots = append(snapshots, snapshot)
		want = append(want, step(whole, r))
	}
	spans := 0
	for from, snapshot := range snapshots {
		p := New(0, settings, newCounters(t))
		if err := p.Restore(snapshot); err != nil {
			t.Fatal(err)
		}
		for i := from; i < len(records); i++ {
			got := step(p, records[i])
			if !slices.EqualFunc(got, want[i], bytes.Equal) {
				t.Errorf("from %d, record %d: %d messages, want %d, or others", from, i, len(got), len(want[i]))
			}
			spans += len(got)
		}
		for cut := range snapshot {
			if err := New(0, settings, newCounters(t)).Restore(snapshot[:cut]); err == nil && cut > 0 {
				t.Fatalf("a snapshot cut at %d of %d is taken", cut, len(snapshot))
			}
		}
	}
	if spans == 0 {
		t.Error("nothing was published")
	}
}
