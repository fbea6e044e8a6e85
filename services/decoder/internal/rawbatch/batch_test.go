package rawbatch

import (
	"bytes"
	"slices"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func full() *millracev1.RawBatch {
	return &millracev1.RawBatch{
		Version: 1, Node: "node", Epoch: 2, Partition: 300, Sequence: 1 << 40, ClockOffsetNs: -5,
		Processes: []*millracev1.Process{{Id: 7, Node: "node", Pid: 1}, {Id: 8}},
		Connections: []*millracev1.Connection{{
			SendFlow: 1, ReceiveFlow: 2, Socket: 3, Process: 4, Transport: millracev1.Transport_TRANSPORT_UNIX,
			Role: millracev1.Role_ROLE_SERVER, LocalAddress: []byte{1}, LocalPort: 65535, RemoteAddress: []byte{2}, RemotePort: 6,
			UnixPath: "@x", OpenedNs: 9, ConnectingNs: 6, ProtocolHint: millracev1.Protocol_PROTOCOL_TLS, NetworkNamespace: 1 << 31,
		}},
		Events: []*millracev1.Event{{
			Kind: millracev1.EventKind_EVENT_KIND_SEND, Connection: 1, Process: 2, TimeNs: 3, DurationNs: 1 << 50, Offset: 1 << 60,
			Length: 1 << 31, Payload: []byte("payload"), Segments: []uint32{0, 3, 500, 4}, Thread: 10, Goroutine: 11, ParentGoroutine: 12,
			ParentThread: 13, SrttUs: 14, Retransmits: 15, Flags: 63, Error: 104,
			ParentProcess: 18, Restated: []byte("restated"), Restatements: []uint32{7, 300, 1 << 20, 2, 1, 5, 8},
			LastByteWaitedNs: 1 << 40, FirstByteWaitedNs: 1<<40 + 1, Unsent: 300,
		}, {}},
		Losses:   []*millracev1.Loss{{Cause: millracev1.LossCause_LOSS_CAUSE_TABLE_FULL, Events: 5, Bytes: 6}},
		Progress: &millracev1.NodeProgress{SentNs: 1 << 60, StoredNs: 3, Last: true},
	}
}

// compare checks that what was read is what the generated code reads.
func compare(t *testing.T, b *Batch, want *millracev1.RawBatch) {
	t.Helper()
	if b.Version != want.Version || string(b.Node) != want.Node || b.Epoch != want.Epoch || b.Partition != want.Partition ||
		b.Sequence != want.Sequence || b.ClockOffset != want.ClockOffsetNs || len(b.Processes) != len(want.Processes) ||
		len(b.Connections) != len(want.Connections) || len(b.Events) != len(want.Events) || len(b.Losses) != len(want.Losses) {
		t.Fatalf("got %+v, want %v", b, want)
	}
	if p := want.Progress; b.HasProgress != (p != nil) || b.Progress != (Progress{p.GetSentNs(), p.GetStoredNs(), p.GetLast()}) {
		t.Errorf("progress: got %+v, want %v", b.Progress, p)
	}
	for i, p := range want.Processes {
		if b.Processes[i].ID != p.Id {
			t.Errorf("process %d: %d", i, b.Processes[i].ID)
		}
	}
	for i, w := range want.Connections {
		c := &b.Connections[i]
		if c.SendFlow != w.SendFlow || c.ReceiveFlow != w.ReceiveFlow || c.Socket != w.Socket || c.Process != w.Process ||
			c.Opened != w.OpenedNs || c.Connecting != w.ConnectingNs || !bytes.Equal(c.LocalAddress, w.LocalAddress) || !bytes.Equal(c.RemoteAddress, w.RemoteAddress) ||
			string(c.UnixPath) != w.UnixPath || c.LocalPort != w.LocalPort || c.RemotePort != w.RemotePort ||
			c.NetworkNamespace != w.NetworkNamespace || c.Transport != w.Transport || c.Role != w.Role || c.Hint != w.ProtocolHint {
			t.Errorf("connection %d: got %+v, want %v", i, c, w)
		}
	}
	for i, w := range want.Events {
		var e Event
		if !e.Read(b.Events[i]) {
			t.Fatalf("event %d is refused", i)
		}
		if e.Kind != w.Kind || e.Connection != w.Connection || e.Process != w.Process || e.Time != w.TimeNs || e.Duration != w.DurationNs ||
			e.Offset != w.Offset || e.Length != w.Length || !bytes.Equal(e.Payload, w.Payload) || !slices.Equal(e.Segments, w.Segments) ||
			!bytes.Equal(e.Restated, w.Restated) || !slices.Equal(e.Restatements, w.Restatements) ||
			e.Thread != w.Thread || e.Goroutine != w.Goroutine || e.ParentGoroutine != w.ParentGoroutine || e.ParentThread != w.ParentThread ||
			e.SRTT != w.SrttUs || e.Retransmits != w.Retransmits || e.Flags != w.Flags || e.Error != w.Error || e.ParentProcess != w.ParentProcess ||
			e.LastByteWaited != w.LastByteWaitedNs || e.FirstByteWaited != w.FirstByteWaitedNs || e.Unsent != w.Unsent {
			t.Errorf("event %d: got %+v, want %v", i, e, w)
		}
	}
	for i, w := range want.Losses {
		if b.Losses[i] != (Loss{w.Cause, w.Events, w.Bytes}) {
			t.Errorf("loss %d: %+v", i, b.Losses[i])
		}
	}
}

func TestReadsWhatGeneratedCodeWrites(t *testing.T) {
	t.Parallel()
	m, err := full().MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var b Batch
	for range 2 { // the memory is used again
		if err := b.Read(m); err != nil {
			t.Fatal(err)
		}
		compare(t, &b, full())
	}
	for i := range m {
		_ = b.Read(m[:i]) // must not panic
	}
}

// FuzzRead checks that whatever the generated code reads is read here, and alike.
func FuzzRead(f *testing.F) {
	m, _ := full().MarshalVT()
	f.Add(m)
	f.Add([]byte{8, 1, 74, 2, 72, 5})
	f.Add([]byte{74, 6, 0x80, 0x80, 0x80, 0x80, 0x20, 5}) // an event with a field of number 2^30
	f.Add([]byte{74, 4, 9<<4&0x7f | 3, 8, 1, 9<<4&0x7f | 4})
	f.Fuzz(func(t *testing.T, m []byte) {
		var b Batch
		err := b.Read(m)
		var want millracev1.RawBatch
		if want.UnmarshalVT(m) == nil {
			if err != nil {
				t.Fatalf("%x is refused", m)
			}
			compare(t, &b, &want)
		}
	})
}
