package batch

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/capture/internal/kernel"
)

var testConnection = kernel.Connection{
	Socket: 7, SendFlow: 1<<32 | 2, Owner: 10, Transport: millracev1.Transport_TRANSPORT_TCP, Role: millracev1.Role_ROLE_SERVER,
	Local: netip.MustParseAddrPort("10.0.0.1:80"), Remote: netip.MustParseAddrPort("[::1]:40000"), OpenedNS: 5, ConnectingNS: 3, NetworkNS: 4026531840,
	Hint: millracev1.Protocol_PROTOCOL_HTTP1,
}

// TestMatchesGeneratedCode: what the builder writes is what the generated code would write.
func TestMatchesGeneratedCode(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	number := func() uint64 { return random.Uint64() >> random.IntN(64) * uint64(random.IntN(2)) }
	b := NewBuilder("node-1", 99, 3)
	process := &millracev1.Process{Id: 11, Node: "node-1", Pid: 10, CommandArgs: []string{"a", "b"}}
	encoded, err := process.MarshalVT()
	if err != nil {
		t.Fatal(err)
	}
	var state Connection
	for sequence := uint64(1); sequence < 50; sequence++ {
		want := &millracev1.RawBatch{Version: 1, Node: "node-1", Epoch: 99, Partition: 3, Sequence: sequence, ClockOffsetNs: -5}
		for i := range random.IntN(20) {
			kind := kernel.Kind(1 + random.IntN(int(kernel.TaskEnd)))
			ev := kernel.Event{
				Kind: kind, Thread: uint32(number()), ParentThread: uint32(number()), Goroutine: number(), ParentGoroutine: number(),
				TimeNS: number(), DurationNS: number(), Offset: number(), Length: uint32(number()), SRTTUS: uint32(number()),
				Retransmits: uint32(number()), Flags: uint32(number()), Error: uint32(number()),
			}
			if random.IntN(2) == 0 {
				ev.Payload = bytes.Repeat([]byte("x"), random.IntN(300))
				ev.Segments = []kernel.Segment{{At: 0, Length: 3}, {At: uint32(number()), Length: uint32(number())}}
			}
			if random.IntN(4) == 0 {
				ev.Restated = bytes.Repeat([]byte("y"), random.IntN(300))
				ev.Restatements = []uint32{uint32(number()), 9, uint32(number()), 0, 1, 0, uint32(number())}
			}
			var waits [2]uint64 // of the last byte, and of the first
			if random.IntN(2) == 0 {
				waits = [2]uint64{number() % (ev.TimeNS + 1), number() % (ev.TimeNS + 1)}
				ev.ArrivedNS, ev.FirstArrivedNS, ev.Unsent = ev.TimeNS-waits[0], ev.TimeNS-waits[1], uint32(number())
				for i, at := range []uint64{ev.ArrivedNS, ev.FirstArrivedNS} {
					if at == 0 { // not known
						waits[i] = 0
					} else if waits[i] == 0 { // no time is still some
						waits[i] = 1
					}
				}
			}
			reference, actor := uint32(0), uint64(11)
			if i%3 == 0 {
				var first bool
				reference, first = b.Intern(&state, &testConnection, 11)
				actor = 0
				if first {
					want.Connections = append(want.Connections, &millracev1.Connection{
						SendFlow: 1<<32 | 2, ReceiveFlow: 2<<32 | 1, Socket: 7, Process: 11, Transport: 1, Role: 2,
						LocalAddress: []byte{10, 0, 0, 1}, LocalPort: 80, RemoteAddress: netip.MustParseAddr("::1").AsSlice(), RemotePort: 40000,
						OpenedNs: 5, ConnectingNs: 3, ProtocolHint: 1, NetworkNamespace: 4026531840,
					})
				}
			}
			b.Process(11, encoded)
			want.Processes = []*millracev1.Process{process}
			b.Event(&ev, nil, reference, actor)
			out := &millracev1.Event{
				Kind: millracev1.EventKind(kind), Connection: reference, Process: actor, TimeNs: ev.TimeNS, DurationNs: ev.DurationNS,
				Offset: ev.Offset, Length: ev.Length, Payload: ev.Payload, Thread: ev.Thread, Goroutine: ev.Goroutine,
				ParentGoroutine: ev.ParentGoroutine, ParentThread: ev.ParentThread, SrttUs: ev.SRTTUS, Retransmits: ev.Retransmits,
				Flags: ev.Flags, Error: ev.Error, Restated: ev.Restated, Restatements: ev.Restatements,
				LastByteWaitedNs: waits[0], FirstByteWaitedNs: waits[1], Unsent: ev.Unsent,
			}
			for _, s := range ev.Segments {
				out.Segments = append(out.Segments, s.At, s.Length)
			}
			want.Events = append(want.Events, out)
			if i%4 == 0 {
				b.Made(11, &kernel.Event{Kind: kernel.ProcessFork, Thread: 3, ParentThread: 4, ParentGoroutine: 5, TimeNS: 6}, 1<<63+uint64(i))
				want.Events = append(want.Events, &millracev1.Event{
					Kind: millracev1.EventKind_EVENT_KIND_PROCESS_START, Process: 11, TimeNs: 6, Thread: 3, ParentThread: 4, ParentGoroutine: 5,
					ParentProcess: 1<<63 + uint64(i),
				})
			}
		}
		if want.Events == nil {
			want.Processes = nil
		}
		var losses Losses
		losses.Update(kernel.Losses{millracev1.LossCause_LOSS_CAUSE_RING_FULL: {Events: 1 << 60, Bytes: 3}})
		want.Losses = []*millracev1.Loss{{Cause: 1, Events: 1 << 60, Bytes: 3}}
		got := b.Finish(nil, -5, losses.Take())
		generated, err := want.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, generated) {
			var decoded millracev1.RawBatch
			err := decoded.UnmarshalVT(got)
			t.Fatalf("batch %d differs: %v, equal by value: %v", sequence, err, proto.Equal(&decoded, want))
		}
	}
}

func TestLossFlag(t *testing.T) {
	t.Parallel()
	b := NewBuilder("n", 1, 0)
	var old, late Connection
	flags := func(state *Connection) uint32 {
		reference, _ := b.Intern(state, &testConnection, 1)
		b.Event(&kernel.Event{Kind: kernel.Send}, state, reference, 0)
		var decoded millracev1.RawBatch
		if err := decoded.UnmarshalVT(b.Finish(nil, 0, nil)); err != nil {
			t.Fatal(err)
		}
		return decoded.Events[0].Flags
	}
	if flags(&old) != 0 {
		t.Error("flag without loss")
	}
	b.Lost()
	if flags(&old) != FlagAfterLoss || flags(&old) != 0 {
		t.Error("want the flag once after the loss")
	}
	if flags(&late) != 0 {
		t.Error("a connection that began after the loss has the flag")
	}
}

func TestLossesAreDeltas(t *testing.T) {
	t.Parallel()
	const full = millracev1.LossCause_LOSS_CAUSE_RING_FULL
	var l Losses
	l.Update(kernel.Losses{full: {Events: 5, Bytes: 50}})
	l.Update(kernel.Losses{full: {Events: 7, Bytes: 70}})
	if got := l.Take(); len(got) != 1 || got[0] != (Loss{full, 7, 70}) {
		t.Errorf("first: %v", got)
	}
	l.Update(kernel.Losses{full: {Events: 7, Bytes: 70}})
	if l.Pending() || len(l.Take()) != 0 {
		t.Error("reported twice")
	}
}

func TestClockOffset(t *testing.T) {
	t.Parallel()
	offset, err := ClockOffset()
	if err != nil {
		t.Fatal(err)
	}
	if apart := time.Since(time.Unix(0, int64(Monotonic())+offset)); apart > time.Second || apart < -time.Second {
		t.Errorf("off by %v", apart)
	}
}

func BenchmarkEvent(b *testing.B) {
	builder := NewBuilder("node", 1, 0)
	var state Connection
	ev := kernel.Event{
		Kind: kernel.Send, Connection: &testConnection, Thread: 1234, Goroutine: 99, TimeNS: 1 << 50, DurationNS: 5000, Offset: 1 << 20,
		Length: 200, Payload: make([]byte, 200), SRTTUS: 40,
	}
	buffer := make([]byte, 0, 1<<17)
	b.ReportAllocs()
	for b.Loop() {
		reference, _ := builder.Intern(&state, &testConnection, 11)
		builder.Event(&ev, &state, reference, 0)
		if builder.Size() > 1<<16 {
			buffer = builder.Finish(buffer[:0], 1, nil)
		}
	}
}
