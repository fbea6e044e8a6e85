package stream

// Offset is the position: the offset of the next byte.
func (s *Stream) Offset() uint64 { return s.pos }

// Received is the offset behind the last byte that has arrived in order.
func (s *Stream) Received() uint64 { return s.end }

// Bytes that a run, and a waiting event beside its payload, take in a snapshot.
const runBytes, eventBytes = 96, 116

// Buffered is about how many bytes of memory what is held takes: payload, and what is known of it.
func (s *Stream) Buffered() int {
	return len(s.view) + runBytes*(len(s.runs)-s.head) + s.waiting + eventBytes*len(s.pending)
}

// Next says what is at the position.
func (s *Stream) Next() Kind {
	if s.head == len(s.runs) {
		return None
	}
	return s.runs[s.head].kind
}

// Bytes gives the bytes from the position up to the first hole. They are valid until the next call of Push or Settle.
func (s *Stream) Bytes() []byte {
	if s.head == len(s.runs) || s.runs[s.head].kind != Bytes {
		return nil
	}
	n := s.runs[s.head].n
	for i := s.head + 1; i < len(s.runs) && s.runs[i].kind == Bytes; i++ {
		n += s.runs[i].n
	}
	return s.view[:n]
}

// Restated reports whether the byte at the position is of a range that is restated: there bytes, holes and numbers of
// bytes are those of what the range stands for, and only Offset is one of the wire. See edge.Writer.Restate.
func (s *Stream) Restated() bool { return s.head < len(s.runs) && s.runs[s.head].restated }

// Cut reports whether the bytes that Bytes gives are followed by a hole or a gap, so that waiting for more is in vain.
func (s *Stream) Cut() bool {
	for i := s.head; i < len(s.runs); i++ {
		if s.runs[i].kind != Bytes {
			return true
		}
	}
	return false
}

// Meta gives what is known of the byte at the position. There must be one (Next is not None).
func (s *Stream) Meta() *Meta { return &s.runs[s.head].meta }

// Last gives what is known of the last byte that was consumed.
func (s *Stream) Last() *Meta { return &s.last }

// AtEventStart reports whether the byte at the position is the first of its event.
func (s *Stream) AtEventStart() bool { return s.head < len(s.runs) && s.runs[s.head].first }

// Skip moves the position forward by n bytes, or as many as have arrived, across bytes, holes and gaps. It gives the
// number. Bytes of a range that is restated count as what they stand for.
func (s *Stream) Skip(n uint64) uint64 {
	left := n
	for left > 0 && s.head < len(s.runs) {
		r := &s.runs[s.head]
		take := min(left, r.n)
		switch r.kind {
		case Bytes:
			s.view = s.view[take:]
		case Lost:
			s.lost += take
			s.Missing += take
		default: // Holes were not wanted.
		}
		if !r.begun {
			s.last, r.begun = r.meta, true
		}
		left -= take
		s.lastArrival = Arrival{}
		if take == r.n {
			if r.last {
				s.lastArrival = r.arrival
			}
			s.pos += r.wire
			s.head++
		} else {
			moved := r.moves(take)
			s.pos += moved
			r.n -= take
			r.wire -= moved
			r.first = false
		}
	}
	return n - left
}

// Take is [Stream.Skip] for bytes whose owner is known: it gives how many of them were lost, and those do not count for
// [Stream.TakeLost].
func (s *Stream) Take(n uint64) (taken, lost uint64) {
	before := s.lost
	taken = s.Skip(n)
	lost = s.lost - before
	s.lost = before
	return taken, lost
}

// SkipRun moves the position behind the run at the position and reports whether that run ended its event.
func (s *Stream) SkipRun() (ended bool) {
	if s.head == len(s.runs) {
		return false
	}
	ended = s.runs[s.head].last
	s.Skip(s.runs[s.head].n)
	return ended
}

// SkipToEvent moves the position to the next first byte of an event, at least one byte forward. It reports whether
// there is such a byte; otherwise everything that has arrived is consumed.
func (s *Stream) SkipToEvent() bool {
	for s.SkipRun(); s.head < len(s.runs); s.SkipRun() {
		if s.runs[s.head].first && s.runs[s.head].kind == Bytes {
			return true
		}
	}
	return false
}

// PassToEvent is SkipToEvent for what is passed over unread: it counts as hidden.
func (s *Stream) PassToEvent() bool {
	before := s.pos
	found := s.SkipToEvent()
	s.Hidden += s.pos - before
	return found
}

// PassGap moves the position behind the holes and gaps at the position, which count as hidden.
func (s *Stream) PassGap() {
	before := s.pos
	for k := s.Next(); k == Hole || k == Lost; k = s.Next() {
		s.SkipRun()
	}
	s.Hidden += s.pos - before
}

// Discard consumes everything that has arrived.
func (s *Stream) Discard() {
	for s.head < len(s.runs) {
		s.SkipRun()
	}
}

// EventTail gives the bytes at the end of the event at the position: the run of bytes that ends it, if it has one, and
// whether the event is complete in the queue (it always is). before is the number of bytes of the event that precede
// the tail.
func (s *Stream) EventTail() (tail []byte, before uint64) {
	at := 0
	for i := s.head; i < len(s.runs); i++ {
		r := &s.runs[i]
		if r.last {
			if r.kind == Bytes {
				return s.view[at : at+int(r.n)], before
			}
			return nil, before + r.n
		}
		if r.kind == Bytes {
			at += int(r.n)
		}
		before += r.n
	}
	return nil, before
}

// TakeLost gives the number of lost bytes that were consumed since the last call.
func (s *Stream) TakeLost() uint64 {
	n := s.lost
	s.lost = 0
	return n
}

// HasLost reports whether lost bytes lie at or behind the position.
func (s *Stream) HasLost() bool {
	for i := s.head; i < len(s.runs); i++ {
		if s.runs[i].kind == Lost {
			return true
		}
	}
	return false
}

// Forget turns the bytes that wait for the parser into a hole, so that they take no memory; what arrives later is not
// touched.
func (s *Stream) Forget() {
	for i := s.head; i < len(s.runs); i++ {
		if s.runs[i].kind == Lost {
			s.lost += s.runs[i].n
			s.Missing += s.runs[i].n
		}
	}
	s.view, s.aliased = nil, false
	// Neighbouring holes become one, with the earliest start and the latest end.
	if s.head < len(s.runs) {
		merged := s.runs[s.head]
		merged.kind, merged.restated, merged.tail, merged.begun = Hole, false, false, false
		for i := s.head + 1; i < len(s.runs); i++ {
			merged.wire += s.runs[i].wire
			merged.last = s.runs[i].last
			begin, first := merged.meta.Begin, merged.arrival.First
			merged.meta, merged.arrival = s.runs[i].meta, s.runs[i].arrival
			merged.meta.Begin, merged.arrival.First = begin, first
		}
		merged.n = merged.wire
		s.runs = append(s.runs[:0], merged)
		s.head = 0
	}
}

// Run is how many bytes from the position on are of one kind and were moved by one call; 0 if there are none.
func (s *Stream) Run() uint64 {
	if s.head == len(s.runs) {
		return 0
	}
	return s.runs[s.head].n
}
