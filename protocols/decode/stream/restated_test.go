package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"millrace.dev/protocols/decode/snapshot"
)

// packet is a range of the wire that is restated whole.
type packet struct {
	at, span uint64
	text     []byte
}

// cutPackets makes the events of packets that follow each other, cut anywhere. Of every third byte it is not known what
// it is.
func cutPackets(r *rand.Rand, packets []packet) (events []Event) {
	end := packets[len(packets)-1].at + packets[len(packets)-1].span
	for at := uint64(0); at < end; {
		to := min(end, at+1+r.Uint64N(40))
		e := Event{Offset: at, Length: uint32(to - at)}
		for _, p := range packets {
			from, until := max(p.at, at), min(p.at+p.span, to)
			if from >= until {
				continue
			}
			flags, text := uint32(0), p.text
			if p.at < at {
				flags |= restatedRest
			}
			if p.at+p.span > to {
				flags, text = flags|restatedMore, nil
			}
			e.Restatements = append(e.Restatements, uint32(from-at), uint32(until-from), uint32(len(text)), flags, uint32((len(text)+1)/3))
			for i := 1; i < len(text); i += 3 {
				e.Restatements = append(e.Restatements, uint32(i), uint32(min(2, len(text)-i)))
				e.Restated = append(e.Restated, text[i:min(i+2, len(text))]...)
			}
		}
		events = append(events, e)
		at = to
	}
	return events
}

// TestRestated reads what ranges of the wire stand for, and the offset of each of its bytes, however they are cut.
func TestRestated(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 1))
	for range 500 {
		var packets []packet
		var want []byte
		var offsets []uint64
		at := uint64(0)
		for range 1 + r.IntN(6) {
			p := packet{at: at, span: 1 + r.Uint64N(60), text: make([]byte, 1+r.IntN(100))}
			for i := range p.text {
				p.text[i] = byte(len(want))
				want, offsets = append(want, p.text[i]), append(offsets, p.at+min(uint64(i), p.span-1))
				if i%3 == 0 {
					want[len(want)-1] = 0
				}
			}
			packets, at = append(packets, p), at+p.span
		}
		s := &Stream{}
		s.StartAt(0)
		position := 0
		for _, e := range cutPackets(r, packets) {
			if !wellFormed(&e) {
				t.Fatalf("%+v is refused", e)
			}
			s.Push(&e)
			for s.Next() != None && r.IntN(5) > 0 {
				if s.Offset() != offsets[position] || !s.Restated() {
					t.Fatalf("byte %d is at %d, want %d", position, s.Offset(), offsets[position])
				}
				n := 1
				if b := s.Bytes(); len(b) > 0 {
					n = 1 + r.IntN(len(b))
					if !bytes.Equal(b[:n], want[position:position+n]) {
						t.Fatalf("at %d: %q, want %q", position, b[:n], want[position:position+n])
					}
				}
				position += int(s.Skip(uint64(n)))
			}
			s.Settle()
			clear(e.Restated)
			s = again(t, s)
		}
		position += int(s.Skip(1 << 40))
		if position != len(want) || s.Offset() != at || s.Received() != at {
			t.Fatalf("%d bytes, at %d; want %d, at %d", position, s.Offset(), len(want), at)
		}
	}
}

// again saves a stream and reads it back.
func again(t *testing.T, s *Stream) *Stream {
	t.Helper()
	w := &snapshot.Writer{}
	s.AppendState(w)
	restored, r := &Stream{}, snapshot.NewReader(w.B)
	if restored.RestoreState(r, stateVersion); r.Err() != nil {
		t.Fatal(r.Err())
	}
	return restored
}

// TestDeferred: what is deferred and then not restated is a hole of as many bytes as it has on the wire.
func TestDeferred(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]Event{
		"bytes":         {Offset: 10, Length: 3, Payload: []byte("abc")},
		"another range": {Offset: 10, Length: 3, Restated: []byte("abc"), Restatements: []uint32{0, 3, 3, 0, 1, 0, 3}},
	} {
		var s Stream
		s.StartAt(0)
		s.Push(&Event{Length: 10, Payload: []byte("1234"), Restatements: []uint32{4, 6, 0, restatedMore, 0}})
		if s.Skip(100) != 4 || s.Next() != None || s.Offset() != 4 || s.Received() != 10 {
			t.Fatalf("%s: at %d of %d", name, s.Offset(), s.Received())
		}
		s.Push(&next)
		if s.Next() != Hole || s.Skip(6) != 6 || string(s.Bytes()) != "abc" || !s.AtEventStart() {
			t.Errorf("%s: at %d: %q", name, s.Offset(), s.Bytes())
		}
	}
}

// TestRestatedMalformed: contradictions are refused.
func TestRestatedMalformed(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]Event{
		"cut":              {Length: 9, Restatements: []uint32{0, 3, 3}},
		"pairs cut":        {Length: 9, Restatements: []uint32{0, 3, 3, 0, 1, 0}},
		"too many pairs":   {Length: 9, Restatements: []uint32{0, 3, 3, 0, 1 << 31, 0}},
		"beyond the event": {Length: 9, Restatements: []uint32{7, 3, 3, 0, 0}},
		"empty":            {Length: 9, Restatements: []uint32{0, 0, 3, 0, 0}},
		"for nothing":      {Length: 9, Restatements: []uint32{0, 3, 0, 0, 0}},
		"overlapping":      {Length: 9, Restatements: []uint32{0, 3, 3, 0, 0, 2, 3, 3, 0, 0}},
		"over payload":     {Length: 9, Payload: []byte("abc"), Restatements: []uint32{2, 3, 3, 0, 0}},
		"over a segment":   {Length: 9, Payload: []byte("abc"), Segments: []uint32{4, 3}, Restatements: []uint32{2, 3, 3, 0, 0}},
		"more than said":   {Length: 9, Restated: []byte("abcd"), Restatements: []uint32{2, 3, 3, 0, 1, 0, 4}},
		"too few bytes":    {Length: 9, Restated: []byte("ab"), Restatements: []uint32{2, 3, 3, 0, 1, 0, 3}},
		"bytes of nothing": {Length: 9, Restated: []byte("ab")},
		"more, not last":   {Length: 9, Restatements: []uint32{2, 3, 0, restatedMore, 0, 6, 3, 3, 0, 0}},
		"rest, not first":  {Length: 9, Restatements: []uint32{2, 3, 3, restatedRest, 0}},
		"no such flag":     {Length: 9, Restatements: []uint32{2, 3, 3, 4, 0}},
	} {
		var s Stream
		s.StartAt(0)
		if s.Push(&e); s.Malformed != 1 {
			t.Errorf("%s is taken", name)
		}
	}
}
