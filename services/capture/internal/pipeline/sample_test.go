package pipeline

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

// The counters of a connection reach the partition of its process with its facts, also of one of which nothing else was
// ever told.
func TestSamples(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{})
	k := f.connect("10.0.0.1:443")
	f.Handle(&kernel.Event{Kind: kernel.Sample, Connection: k, PID: f.pid, TimeNS: 7, Counters: &kernel.Counters{
		Flags: 3, BytesSent: 1, BytesRetransmitted: 2, PayloadSent: 3, PayloadReceived: 4, SegmentsOut: 5, SegmentsIn: 6, DataSegmentsOut: 7,
		DataSegmentsIn: 8, Retransmits: 9, SRTTUS: 10, RTTMinUS: 11, HeaderBytes: 52, OutOfOrder: 12, DSACKDuplicates: 13, Reordered: 14, Lost: 15,
		DeliveredCE: 16, BusyUS: 1 << 40, ReceiverLimitedUS: 18, SenderLimitedUS: 19, Error: 104, State: 1,
	}})
	f.Handle(&kernel.Event{Kind: kernel.Sample, Connection: k, TimeNS: 8, Counters: &kernel.Counters{}})
	f.Finish()
	if len(f.out.batches) != 1 {
		t.Fatalf("%d batches", len(f.out.batches))
	}
	b := f.out.batches[0]
	owner := f.Inventory.Lookup(f.pid)
	if b.Partition != uint32(owner.ID%8) || len(b.Processes) != 1 || len(b.Connections) != 1 || len(b.Events) != 0 || len(b.Flows) != 1 {
		t.Fatalf("%+v", b)
	}
	if c := b.Connections[0]; c.SendFlow != k.SendFlow || c.Process != owner.ID || c.RemotePort != 443 {
		t.Errorf("%+v", c)
	}
	want := &millracev1.FlowSample{
		Connection: 1, TimeNs: 7, Flags: 3, BytesSent: 1, BytesRetransmitted: 2, PayloadSent: 3, PayloadReceived: 4, SegmentsOut: 5, SegmentsIn: 6,
		DataSegmentsOut: 7, DataSegmentsIn: 8, Retransmits: 9, SrttUs: 10, RttMinUs: 11, HeaderBytes: 52, OutOfOrder: 12, DsackDuplicates: 13,
		Reordered: 14, Lost: 15, DeliveredCe: 16, BusyUs: 1 << 40, ReceiverLimitedUs: 18, SenderLimitedUs: 19, Error: 104, State: 1,
	}
	if !proto.Equal(b.Flows[0], want) {
		t.Errorf("%+v, want %+v", b.Flows[0], want)
	}
	if c := f.Counters(); c.Samples() != 1 || c.SamplesWithoutOwner() != 1 {
		t.Errorf("%d samples, %d without owner", c.Samples(), c.SamplesWithoutOwner())
	}
}

// Of a process that is not watched nothing leaves the node, its counters neither.
func TestSamplesOfOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t, config.Discovery{ExcludeServices: []config.Service{{ExePath: "*"}}})
	f.Handle(&kernel.Event{Kind: kernel.Sample, Connection: f.connect("10.0.0.1:443"), PID: f.pid, Counters: &kernel.Counters{Flags: 1}})
	f.Finish()
	if len(f.out.batches) != 0 {
		t.Errorf("%+v", f.out.batches)
	}
}
