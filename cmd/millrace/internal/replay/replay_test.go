package replay

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func TestRepartition(t *testing.T) {
	t.Parallel()
	batch := func() *millracev1.RawBatch {
		return &millracev1.RawBatch{
			Version: 1, Sequence: 7, Partition: 0,
			Connections: []*millracev1.Connection{{Socket: 1, Process: 4}, {Socket: 2, Process: 7}, {Socket: 3, Process: 10}},
			Events: []*millracev1.Event{
				{Connection: 1, Length: 1},
				{Connection: 2, Length: 2},
				{Connection: 3, Length: 3},
				{Process: 7, Kind: millracev1.EventKind_EVENT_KIND_PROCESS_EXIT},
				{Connection: 9},
			},
			Losses: []*millracev1.Loss{{Events: 1}},
		}
	}
	if parts := Repartition(batch(), 3); len(parts) != 1 || parts[0].GetPartition() != 1 {
		t.Fatalf("4, 7 and 10 share partition 1 of 3: got %d parts", len(parts))
	}
	parts := Repartition(batch(), 2)
	if len(parts) != 2 {
		t.Fatalf("got %d parts", len(parts))
	}
	events, losses := 0, 0
	for _, p := range parts {
		losses += len(p.GetLosses())
		for _, e := range p.GetEvents() {
			events++
			process := e.GetProcess()
			if c := e.GetConnection(); c != 0 {
				process = p.GetConnections()[c-1].GetProcess()
				if socket := p.GetConnections()[c-1].GetSocket(); uint64(e.GetLength()) != socket {
					t.Errorf("event of length %d on socket %d", e.GetLength(), socket)
				}
			}
			if uint32(process%2) != p.GetPartition() {
				t.Errorf("process %d in partition %d", process, p.GetPartition())
			}
		}
	}
	if events != 4 || losses != 1 {
		t.Errorf("%d events, %d losses", events, losses)
	}
}

// TestHome: a process stays with the one whose requests it may work for.
func TestHome(t *testing.T) {
	t.Parallel()
	parts := Repartition(&millracev1.RawBatch{
		Version: 1, Processes: []*millracev1.Process{{Id: 4}, {Id: 7, Home: 4}},
		Events: []*millracev1.Event{{Process: 4}, {Process: 7}},
	}, 2)
	if len(parts) != 1 || parts[0].GetPartition() != 0 {
		t.Errorf("%d parts, the first of partition %d", len(parts), parts[0].GetPartition())
	}
}

func TestSequencerKeepsGaps(t *testing.T) {
	t.Parallel()
	s := NewSequencer()
	var got []uint64
	for _, sequence := range []uint64{5, 6, 9, 10} {
		part := &millracev1.RawBatch{Node: "n", Partition: 1}
		s.Number(0, sequence, []*millracev1.RawBatch{part})
		got = append(got, part.GetSequence())
	}
	for i, want := range []uint64{1, 2, 4, 5} {
		if got[i] != want {
			t.Fatalf("got %v", got)
		}
	}
}
