package join

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Identities of two ends of a connection.
const (
	flowA = uint64(7<<32 | 9)
	flowB = uint64(9<<32 | 7)
)

// sampled is a sample of an end in a test: what it has counted so far, in segments of 100 bytes without headers.
type sampled struct {
	at          time.Duration // since the start
	flow        uint64
	out, in     uint64 // segments
	first, last bool
	joined      bool // open before capture
	taken       time.Duration
}

func (s sampled) record(origin int64) stage.Record {
	taken := s.taken
	if taken == 0 {
		taken = s.at
	}
	c := &millracev1.Connection{
		SendFlow: s.flow, Process: s.flow & 0xff, Transport: millracev1.Transport_TRANSPORT_TCP, Role: millracev1.Role_ROLE_CLIENT,
		LocalAddress: []byte{10, 0, 0, 1}, LocalPort: 1000, RemoteAddress: []byte{10, 0, 0, 2}, RemotePort: 80, OpenedNs: 1,
	}
	if s.flow == flowB {
		c.Role, c.LocalAddress, c.RemoteAddress = millracev1.Role_ROLE_SERVER, c.RemoteAddress, c.LocalAddress
		c.LocalPort, c.RemotePort = c.RemotePort, c.LocalPort
	}
	if s.joined {
		c.OpenedNs = 0
	}
	m := &millracev1.FlowSample{
		TimeNs: uint64(time.Second + taken), BytesSent: 100 * s.out, PayloadSent: 100 * s.out, PayloadReceived: 100 * s.in,
		SegmentsOut: uint32(s.out), SegmentsIn: uint32(s.in),
	}
	if s.first {
		m.Flags |= 1
	}
	if s.last {
		m.Flags |= 2
	}
	b := &millracev1.ExchangeBatch{
		Version: SchemaVersion, Processes: []*millracev1.Process{{Id: c.Process}},
		Flows: []*millracev1.Flow{{Connection: c, Sample: m, ClockOffsetNs: origin - int64(time.Second)}},
	}
	data, err := b.MarshalVT()
	if err != nil {
		panic(err)
	}
	return stage.Record{Subject: "millrace.exchange.0", Time: time.Unix(0, origin+int64(s.at)), Data: data}
}

// Each direction of a connection is counted once: by its sender's count, else by what the other end received, whoever
// is heard of first, however often and however late.
func TestFlowsAreCountedOnce(t *testing.T) {
	t.Parallel()
	const interval = 5 * time.Second
	for name, test := range map[string]struct {
		samples     []sampled
		byA, byB    uint64 // segments
		joined      float64
		late        float64
		until       time.Duration
		beforeUntil uint64 // segments that were told before the last sample
	}{
		"both ends": {samples: []sampled{
			{at: 1, flow: flowA, out: 10, in: 4, first: true},
			{at: 2, flow: flowB, out: 5, in: 9, first: true},
			{at: interval, flow: flowA, out: 20, in: 8, last: true},
			{at: interval + 1, flow: flowB, out: 8, in: 20, last: true},
		}, byA: 20, byB: 8},
		"one end": {samples: []sampled{{at: 1, flow: flowA, out: 10, in: 4, first: true, last: true}}, byA: 10, byB: 4},
		"one end that goes on": {samples: []sampled{
			{at: 1, flow: flowA, out: 10, in: 4, first: true}, {at: 20 * time.Second, flow: flowA, out: 11, in: 6},
		}, byA: 11, byB: 6},
		"the receiver first, the sender after it was counted": {samples: []sampled{
			{at: 1, flow: flowB, out: 5, in: 9, first: true}, {at: 20 * time.Second, flow: flowA, out: 10, in: 5, first: true},
		}, byA: 10, byB: 5},
		"twice": {samples: []sampled{
			{at: 1, flow: flowA, out: 10, in: 4, first: true, last: true},
			{at: 2, flow: flowA, out: 10, in: 4, first: true, last: true, taken: 1},
			{at: 20 * time.Second, flow: flowA, out: 10, in: 4, first: true, last: true, taken: 1},
		}, byA: 10, byB: 4},
		"an older one behind a newer one": {samples: []sampled{
			{at: 2, flow: flowA, out: 10, in: 4, first: true}, {at: 3, flow: flowA, out: 5, in: 2, taken: 1},
		}, byA: 10, byB: 4},
		"open before": {samples: []sampled{
			{at: 1, flow: flowA, out: 1000, in: 400, first: true, joined: true}, {at: interval, flow: flowA, out: 1010, in: 404},
		}, byA: 10, byB: 4, joined: 1},
		"capture was restarted": {samples: []sampled{
			{at: 1, flow: flowA, out: 10, in: 4, first: true}, {at: 20 * time.Second, flow: flowA, out: 30, in: 9, first: true, joined: true},
		}, byA: 30, byB: 9},
		"segments wrap": {samples: []sampled{
			{at: 1, flow: flowA, out: 1<<32 - 5, in: 1, first: true, joined: true}, {at: interval, flow: flowA, out: 1<<32 + 5, in: 1},
		}, byA: 10, joined: 1},
		"the other end after the connection was forgotten": {samples: []sampled{
			{at: 1, flow: flowA, out: 10, in: 4, first: true, last: true},
			{at: 5 * time.Minute, flow: flowB, out: 4, in: 10, first: true, last: true, taken: 1},
		}, byA: 10, byB: 4, late: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			settings, last := observed(Decision{})
			settings.Partitions, settings.FlowInterval = 1, interval
			counters := newCounters(t)
			p := New(0, settings, counters)
			var told []Flow
			for _, s := range test.samples {
				if err := p.Process(t.Context(), []stage.Record{s.record(epoch)}, &keep{}); err != nil {
					t.Fatal(err)
				}
				told = append(told, last().flows...)
				p = again(t, p, settings, counters) // whoever takes over counts on
			}
			if err := p.Tick(t.Context(), time.Unix(0, epoch+int64(time.Hour)), &keep{}); err != nil {
				t.Fatal(err)
			}
			told = append(told, last().flows...)
			var packets, bytes [2]uint64
			for _, f := range told {
				from := 0
				if f.From.Address.Addr().As4()[3] == 2 {
					from = 1
				}
				packets[from] += f.Packets
				bytes[from] += f.Bytes
			}
			if want := [2]uint64{test.byA, test.byB}; packets != want || bytes != [2]uint64{100 * want[0], 100 * want[1]} {
				t.Errorf("%d packets, %d bytes, want %d packets", packets, bytes, want)
			}
			if joined, late := testutil.ToFloat64(counters.flowsJoined), testutil.ToFloat64(counters.flowsLate); joined != test.joined || late != test.late {
				t.Errorf("%v joined, %v late", joined, late)
			}
		})
	}
}

// again gives a partition that continues from a snapshot.
func again(t *testing.T, p *Partition, settings Settings, counters *Counters) *Partition {
	t.Helper()
	snapshot, err := p.Snapshot(nil)
	if err != nil {
		t.Fatal(err)
	}
	next := New(0, settings, counters)
	if err := next.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	if err := New(0, settings, counters).Restore(snapshot[:len(snapshot)-9]); err == nil {
		t.Error("a damaged snapshot is taken")
	}
	last := New(0, settings, counters) // what is observed from here on is in the observer that was made last
	if err := last.Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	return last
}

// What has no room makes room, which is counted, and goes on as one that was joined: nothing is counted twice.
func TestFlowsAreBounded(t *testing.T) {
	t.Parallel()
	settings, last := observed(Decision{})
	settings.Partitions, settings.FlowInterval, settings.MaxFlows = 1, 5*time.Second, 10
	counters := newCounters(t)
	p := New(0, settings, counters)
	const connections = 50
	for round := range uint64(2) {
		for i := range uint64(connections) {
			s := sampled{at: time.Duration(round)*time.Minute + time.Duration(i), flow: (100+i)<<32 | 50, out: 10 * (round + 1), first: round == 0}
			if err := p.Process(t.Context(), []stage.Record{s.record(epoch)}, &keep{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Finish(t.Context(), true, &keep{}); err != nil {
		t.Fatal(err)
	}
	packets := uint64(0)
	for _, f := range last().flows {
		packets += f.Packets
	}
	if packets != 10*connections {
		t.Errorf("%d packets, want those of the first round", packets)
	}
	if forgotten := testutil.ToFloat64(counters.flowsForgotten); forgotten != 2*connections-10 || len(p.flows.of) != 10 {
		t.Errorf("%v forgotten, %d left", forgotten, len(p.flows.of))
	}
}

// Whatever bytes come as a flow, nothing breaks and what is malformed is counted.
func FuzzFlow(f *testing.F) {
	f.Add(sampled{at: 1, flow: flowA, out: 10, in: 4, first: true}.record(epoch).Data)
	f.Fuzz(func(t *testing.T, data []byte) {
		settings, _ := observed(Decision{})
		settings.Partitions = 1
		p := New(0, settings, newCounters(t))
		p.flow(data)
		_ = p.Process(t.Context(), []stage.Record{{Subject: "millrace.exchange.0", Time: time.Unix(0, epoch), Data: data}}, &keep{})
	})
}
