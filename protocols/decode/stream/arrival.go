package stream

import "millrace.dev/protocols/decode/snapshot"

// Arrival is how long the bytes of an event waited in a socket of this end, as far as it is known.
type Arrival struct {
	// First and Last are when the first and the last byte of what was received could be read. Node time, ns; 0: not known.
	First, Last int64
	// Unsent is how many bytes the socket still held back when the call returned that sent the last byte.
	Unsent uint32
}

// FirstArrived is when the byte at the position could be read, if it is the first of its event. Node time, ns; 0: not
// known.
func (s *Stream) FirstArrived() int64 {
	if !s.AtEventStart() {
		return 0
	}
	return s.runs[s.head].arrival.First
}

// LastArrived is when the last byte that was consumed could be read, if it was the last of its event. Node time, ns; 0:
// not known.
func (s *Stream) LastArrived() int64 { return s.lastArrival.Last }

// Unsent is how many bytes the socket held back when the call returned that sent the last byte that was consumed, if
// that was the call's last. 0: none, or not known.
func (s *Stream) Unsent() uint32 { return s.lastArrival.Unsent }

func (a *Arrival) appendState(w *snapshot.Writer) {
	w.Int(a.First)
	w.Int(a.Last)
	w.Uint(uint64(a.Unsent))
}

func readArrival(r *snapshot.Reader) Arrival {
	return Arrival{First: r.Int(), Last: r.Int(), Unsent: uint32(r.Uint())}
}
