package postgres

import (
	"bytes"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/sql"
)

// body reads bytes of the body of a message: b, which lies at position at of what is scanned.
func (s *scanner) body(d *way, b []byte, at int, w *edge.Writer) {
	for len(b) > 0 {
		n := s.partOf(d, b, at, w)
		b = b[n:]
		at += n
	}
}

// partOf reads bytes of the part at which the body is, and gives how many.
func (s *scanner) partOf(d *way, b []byte, at int, w *edge.Writer) int {
	switch d.part {
	case dropped:
		return len(b)
	case whole:
		w.Keep(at, at+len(b))
		return len(b)
	case number:
		return d.keepSome(b, at, 4, w)
	case count:
		return d.keepSome(b, at, 2, w)
	case tag:
		n := min(len(b), max(0, maxTag-d.size))
		w.Keep(at, at+n)
		d.size += len(b)
		return len(b)
	case object:
		w.Keep(at, at+1)
		d.enter(name)
		return 1
	case fieldType:
		return d.fieldType(b, at, w)
	default:
	}
	n := bytes.IndexByte(b, 0)
	ends := n >= 0
	if !ends {
		n = len(b)
	}
	s.string(d, b[:n], at, ends, w)
	if ends {
		s.endString(d)
		return n + 1
	}
	return n
}

// keepSome keeps the first bytes of a part; the rest of the body is dropped.
func (d *way) keepSome(b []byte, at, most int, w *edge.Writer) int {
	n := min(len(b), most-d.size)
	w.Keep(at, at+n)
	if d.size += n; d.size == most {
		d.part = dropped
	}
	return n
}

func (d *way) enter(p part) { d.part, d.size = p, 0 }

// string reads bytes of a part that ends with a zero; with ends that follows.
func (s *scanner) string(d *way, b []byte, at int, ends bool, w *edge.Writer) {
	before, zero := d.size, 0
	d.size += len(b)
	if ends {
		zero = 1
	}
	switch d.part {
	case query:
		n := min(len(b), max(0, maxQuery-before))
		s.blanker.Blank(b[:n])
		w.Fill(at, at+n, b[:n]) // over itself, so that the writer knows
		if n == len(b) {
			w.Keep(at+n, at+n+zero)
		}
	case statement, portal, name:
		n := min(len(b), max(0, maxName-before))
		if w.Keep(at, at+n); n == len(b) {
			w.Keep(at+n, at+n+zero)
		}
	case parameter:
		copy(d.word[min(before, len(d.word)):], b)
		if isName(b) {
			w.Keep(at, at+len(b))
		} else {
			w.Blank(at, at+len(b))
		}
		w.Keep(at+len(b), at+len(b)+zero)
	case value:
		if name := string(d.name()); name == "user" || name == "database" || name == "replication" {
			w.Keep(at, at+len(b))
		} else {
			w.Blank(at, at+len(b))
		}
		w.Keep(at+len(b), at+len(b)+zero)
	case setting:
		copy(d.word[min(before, len(d.word)):], b)
	case told:
		copy(d.text[min(before, len(d.text)):], b)
	case fieldShown:
		w.Keep(at, at+len(b)+zero)
	default: // fieldHidden
	}
}

// name is the name of a parameter or setting that was read; what is longer than any that matters is none.
func (d *way) name() []byte {
	if d.wordBytes > len(d.word) {
		return nil
	}
	return d.word[:d.wordBytes]
}

// endString acts on the zero behind a string.
func (s *scanner) endString(d *way) {
	size := d.size
	switch d.part {
	case statement:
		d.enter(query)
		s.blanker.Reset(s.syntax, s.rules.Literals)
	case portal:
		d.enter(name)
	case parameter:
		d.wordBytes = size
		if d.enter(value); size == 0 {
			d.enter(dropped) // the list ends
		}
	case value:
		d.enter(parameter)
	case setting:
		d.wordBytes = size
		d.enter(told)
	case told:
		s.learn(d, size)
		d.enter(dropped)
	case fieldShown, fieldHidden:
		d.enter(fieldType)
	default: // a text, behind which is nothing that is needed
		d.enter(dropped)
	}
}

// learn takes a setting that the server reports.
func (s *scanner) learn(d *way, size int) {
	value := string(d.text[:min(size, len(d.text))])
	switch string(d.name()) {
	case "standard_conforming_strings":
		switch value {
		case "on":
			s.syntax.Backslash = sql.No
		case "off":
			s.syntax.Backslash = sql.Yes
		default:
			s.syntax.Backslash = sql.Unknown
		}
	case "client_encoding":
		s.syntax.Bytes = sql.Yes
		switch value {
		case "SJIS", "BIG5", "GBK", "UHC", "GB18030", "JOHAB", "SHIFT_JIS_2004":
			s.syntax.Bytes = sql.No
		}
	}
}

// fieldType reads the type of a field of an error or a notice, and decides whether it is kept: how bad it is, its
// SQLSTATE, and the names of what it is about. Its texts quote values.
func (d *way) fieldType(b []byte, at int, w *edge.Writer) int {
	switch b[0] {
	case 'S', 'V', 'C', 's', 't', 'c', 'd', 'n':
		w.Keep(at, at+1)
		d.enter(fieldShown)
	case 0:
		w.Keep(at, at+1)
		d.enter(dropped)
	default:
		d.enter(fieldHidden)
	}
	return 1
}

// isName reports whether b is a part of a parameter's name.
func isName(b []byte) bool {
	for _, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z' || c >= 0x80) && c != '_' && c != '.' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
