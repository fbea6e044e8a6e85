package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"millrace.dev/protocols/decode/snapshot"
)

// TestOrder pushes the events of a stream with a little disorder, repetition and holes, and reads back every byte in
// its place.
func TestOrder(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		want := make([]byte, 1+r.IntN(400))
		for i := range want {
			want[i] = byte(i*7 + 1)
		}
		var events []Event
		for at := 0; at < len(want); {
			n := 1 + r.IntN(min(50, len(want)-at))
			shipped := r.IntN(n + 1)
			events = append(events, Event{
				Offset: uint64(at), Length: uint32(n), Payload: bytes.Clone(want[at : at+shipped]), Meta: Meta{End: int64(at), Begin: int64(at)},
			})
			at += n
		}
		for i := 1; i < len(events); i++ {
			if r.IntN(3) == 0 {
				events[i-1], events[i] = events[i], events[i-1]
			}
			if r.IntN(5) == 0 {
				events = append(events[:i], append([]Event{events[i-1]}, events[i:]...)...)
			}
		}
		var s Stream
		s.StartAt(0)
		position := 0
		for i := range events {
			s.Push(&events[i])
			for s.Next() != None {
				if at := s.Meta().Begin; at > int64(position) {
					t.Fatalf("the byte at %d is said to come at %d", position, at)
				}
				b := s.Bytes()
				if !bytes.Equal(b, want[position:position+len(b)]) {
					t.Fatalf("wrong bytes at %d", position)
				}
				took := s.Skip(uint64(1 + r.IntN(30)))
				if position += int(took); took == 0 {
					t.Fatal("no progress")
				}
				if r.IntN(3) == 0 {
					break
				}
			}
			s.Settle()
			for j := range events[i].Payload { // the memory is someone else's now
				events[i].Payload[j] = 0
			}
			events[i].Payload = nil
			events[i].Length = 0
		}
		s.Discard()
		if int(s.Offset()) != len(want) || s.Missing != 0 {
			t.Fatalf("ended at %d of %d, %d missing", s.Offset(), len(want), s.Missing)
		}
	}
}

func TestSwappedOffsets(t *testing.T) {
	t.Parallel()
	var s Stream
	s.StartAt(0)
	// Both writers read the position after both had written.
	s.Push(&Event{Offset: 3, Length: 3, Payload: []byte("abc"), Meta: Meta{End: 1}})
	s.Push(&Event{Offset: 3, Length: 3, Payload: []byte("def"), Meta: Meta{End: 2}})
	if got := string(s.Bytes()); got != "abcdef" || !s.Concurrent {
		t.Fatalf("%q, concurrent %v", got, s.Concurrent)
	}
}

func TestBounded(t *testing.T) {
	t.Parallel()
	var s Stream
	s.StartAt(0)
	for i := range uint64(10000) {
		s.Push(&Event{Offset: 10 + i*200, Length: 100, Payload: make([]byte, 100)})
		s.Settle()
		if s.Buffered() > 2<<20 {
			s.Forget()
		}
		if len(s.pending) > maxPending+1 || s.waiting > maxPendingBytes+100 {
			t.Fatalf("%d events wait", len(s.pending))
		}
	}
}

// What one call moved and several records told of is one event, also where a part waits for its turn over a restart.
func TestParts(t *testing.T) {
	t.Parallel()
	var s Stream
	s.StartAt(0)
	s.Push(&Event{Offset: 0, Length: 3, Payload: []byte("abc")})
	first := s.Meta().Serial
	for _, waiting := range []bool{true, false} {
		s.Push(&Event{Offset: 6, Length: 3, Payload: []byte("ghi"), Part: true, Unreadable: waiting})
		s.Settle()
		var w snapshot.Writer
		s.AppendState(&w)
		r := snapshot.NewReader(w.B)
		s.RestoreState(r, stateVersion)
		if r.Err() != nil {
			t.Fatal(r.Err())
		}
	}
	s.Push(&Event{Offset: 3, Length: 3, Payload: []byte("def"), Part: true})
	if string(s.Bytes()) != "abcdefghi" {
		t.Fatalf("%q", s.Bytes())
	}
	for range 3 {
		if s.Meta().Serial != first || s.AtEventStart() != (s.Offset() == 0) {
			t.Errorf("at %d: event %d, start %v", s.Offset(), s.Meta().Serial, s.AtEventStart())
		}
		s.Skip(3)
	}
	s.Push(&Event{Offset: 9, Length: 1, Payload: []byte("j")})
	if s.Meta().Serial != first+1 || !s.AtEventStart() {
		t.Errorf("event %d, start %v", s.Meta().Serial, s.AtEventStart())
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte{0, 4, 4, 4, 4, 2, 1, 9, 0, 3})
	f.Fuzz(func(t *testing.T, script []byte) {
		var s Stream
		clock := int64(0)
		for len(script) >= 4 {
			n := uint32(script[1])
			payload := min(n, uint32(script[2]))
			clock += int64(script[3]) * 1e7
			e := Event{Offset: uint64(script[0]) * 7, Length: n, Payload: make([]byte, payload), Meta: Meta{End: clock, Begin: clock}}
			if script[3]&1 != 0 && payload > 1 {
				e.Segments = []uint32{0, 1, n - payload + 1, payload - 1}
			}
			if script[3]&2 != 0 && payload > 0 { // payload is as good as any text
				e.Payload, e.Segments, e.Restated = nil, nil, e.Payload
				e.Restatements = []uint32{uint32(script[2] >> 6), 1 + uint32(script[0]>>4), payload + uint32(script[0]), uint32(script[1] >> 6), 1, 0, payload}
			}
			if script[3]&4 != 0 {
				e.Restatements = append(e.Restatements, n/2, n-n/2, 0, restatedMore|uint32(script[0]&restatedRest), 0)
			}
			script = script[4:]
			s.Push(&e)
			before := s.Offset()
			switch clock % 4 {
			case 0:
				s.Skip(uint64(len(script)))
			case 1:
				s.SkipToEvent()
			case 2:
				s.EventTail()
				s.Forget()
			}
			s.Settle()
			if s.Offset() < before || s.Received() < s.Offset() {
				t.Fatal("the stream ran backwards")
			}
		}
		s.GiveUpGaps()
		s.endDeferred()
		s.Discard()
		if s.Offset() != s.Received() || s.Buffered() != 0 {
			t.Fatalf("at %d of %d with %d bytes left", s.Offset(), s.Received(), s.Buffered())
		}
	})
}
