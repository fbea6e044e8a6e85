package mysql

import (
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/sql"
)

// scanServer reads bytes of the server, which lie at position at of what is scanned. It gives how many it read.
func (s *scanner) scanServer(b []byte, at int, w *edge.Writer) int {
	d := &s.server
	if s.login && s.greeted && !s.known { // what the client asked for was not seen
		s.loseServer()
		return len(b)
	}
	if !d.inside {
		n := d.begin(b)
		w.Keep(at, at+n)
		if d.inside {
			s.beginServer()
		}
		return n
	}
	n := int(min(uint32(len(b)), d.left))
	if !d.past {
		n = s.readHead(b[:n], at, w)
	}
	d.left -= uint32(n)
	s.endServer()
	return n
}

// beginServer acts on the header of a packet.
func (s *scanner) beginServer() {
	d := &s.server
	continued := d.goesOn
	d.goesOn = d.length == MaxPacket
	d.size, d.past = 0, continued
	switch {
	case s.login && !s.greeted:
		d.past = false
	case d.active && d.sequence != d.next && !d.free:
		s.loseServer()
	case !d.active && !continued:
		if k := s.pop(); k != Unknown {
			d.answer.Begin(k)
			d.active = true
		} else if s.login {
			d.answer.Begin(Login)
			d.active = true
		}
	}
	d.next, d.free = d.sequence+1, false
	if d.length == 0 {
		if !continued && d.active {
			s.take(ClassData)
		}
		d.past = true
	}
	s.endServer()
}

// readHead reads the first bytes of a packet, which are those that are needed.
func (s *scanner) readHead(b []byte, at int, w *edge.Writer) int {
	d := &s.server
	if s.login && !s.greeted {
		return s.readGreeting(b, at, w)
	}
	n := 0
	for n < len(b) {
		if d.size == 0 {
			if !d.active {
				if !s.unasked(b[n], d.length) {
					return len(b)
				}
			} else {
				d.class = d.answer.Class(d.length, b[n])
			}
		}
		d.head[d.size] = b[n]
		d.size++
		n++
		if d.size >= Need(d.class, d.head[:d.size], d.length) {
			break
		}
	}
	w.Keep(at, at+n)
	if d.size >= Need(d.class, d.head[:d.size], d.length) {
		d.past = true
		s.take(d.class)
	}
	return n
}

// unasked begins a packet that answers nothing: an error with which a server ends the connection, or the EOF packet
// behind an answer whose end was not known. Another is not understood.
func (s *scanner) unasked(first byte, length uint32) bool {
	d := &s.server
	switch {
	case d.answer.Trails(length, d.sequence, first):
		d.class = ClassEOF
	case first == 0xff && d.sequence <= 1:
		d.class = ClassError
	default:
		s.loseServer()
		d.past = true
		return false
	}
	return true
}

// take acts on a packet whose needed bytes were read.
func (s *scanner) take(c Class) {
	d := &s.server
	if !d.active {
		if c == ClassEOF {
			d.answer.DeprecateEOF = No
		}
		return
	}
	login := d.answer.kind == Login
	d.free = c == ClassFile || c == ClassOther // the client's packets count as well
	done := d.answer.Take(c, d.head[:d.size])
	if done {
		d.active = false
	}
	if c == ClassOK || c == ClassEOF {
		s.setBackslash(d.answer.Status)
	}
	if !login || !done {
		return
	}
	if s.login && c == ClassOK {
		s.login = false
		s.agreed = Compresses(s.capabilities[0], s.capabilities[1])
		d.answer.DeprecateEOF = No
		if Agreed(s.capabilities[0], s.capabilities[1])&CapDeprecateEOF != 0 {
			d.answer.DeprecateEOF = Yes
		}
	}
}

func (s *scanner) endServer() {
	d := &s.server
	if d.inside && d.left == 0 {
		d.inside = false
		s.wrapped = s.wrapped || s.agreed
	}
}

// readGreeting reads bytes of the greeting: the version and the flags are kept, the challenge is not.
func (s *scanner) readGreeting(b []byte, at int, w *edge.Writer) int {
	d := &s.server
	for i, c := range b {
		index := int(d.length-d.left) + i
		behind := index - s.version
		switch {
		case index == 0 && c != protocol10:
			s.loseServer()
			return len(b)
		case s.version == 0 && index < 128:
			if index > 0 && c == 0 {
				s.version = index
			}
			w.Keep(at+i, at+i+1)
		case s.version == 0: // no version is so long
			s.loseServer()
			return len(b)
		case behind > 4 && behind < 13:
			w.Blank(at+i, at+i+1)
		case behind <= 20: // the connection's number; a zero, capabilities, collation, status, capabilities
			w.Keep(at+i, at+i+1)
			if behind > 13 {
				s.flags[behind-14] = c
			}
		}
	}
	if d.left == uint32(len(b)) {
		s.endGreeting()
	}
	return len(b)
}

func (s *scanner) endGreeting() {
	f := &s.flags
	s.capabilities[1] = uint32(f[0]) | uint32(f[1])<<8 | uint32(f[5])<<16 | uint32(f[6])<<24
	s.greeted, s.server.past = true, true
	s.setBackslash(uint16(f[3]) | uint16(f[4])<<8)
}

// setBackslash takes what the server's status flags say of its settings.
func (s *scanner) setBackslash(status uint16) {
	if s.syntax.Backslash = sql.Yes; status&statusNoBackslash != 0 {
		s.syntax.Backslash = sql.No
	}
}
