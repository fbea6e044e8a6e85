package mysql

import (
	"bytes"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/sql"
)

// part is a part of a message of the client.
type part uint8

const (
	partDropped    part = iota // does not leave, up to the end of the message
	partFixed                  // bytes that are kept, then the part that the command's body is
	partAttributes             // attributes, see [Parameters]
	partText                   // SQL
	partName                   // a name
	partUser                   // see user
)

// userPart is where in what a client says of its user the direction is.
type userPart uint8

const (
	userFixed    userPart = iota // flags, collation
	userName                     // up to a zero
	userSize                     // size of the proof
	userProof                    // the proof, which may be a password
	userDatabase                 // up to a zero
)

// scanClient reads bytes of the client, which lie at position at of what is scanned. It gives how many it read.
func (s *scanner) scanClient(b []byte, at int, w *edge.Writer) int {
	d := &s.client
	if !d.inside {
		n := d.begin(b)
		w.Keep(at, at+n)
		if d.inside {
			s.beginClient()
		}
		return n
	}
	b = b[:min(uint32(len(b)), d.left)]
	var n int
	if d.index == 0 && d.part == partFixed && !d.isLogin() {
		n = 1
		w.Keep(at, at+1)
		s.command(Command(b[0]))
	} else {
		n = s.partOf(b, at, w)
	}
	d.index += n
	d.left -= uint32(n)
	s.endClient()
	return n
}

// isLogin reports whether the message being read is what the client says first.
func (d *asking) isLogin() bool { return d.entry.body == bodyUser && d.entry.kind == Unknown }

// beginClient acts on the header of a packet.
func (s *scanner) beginClient() {
	d := &s.client
	continued := d.goesOn
	d.goesOn = d.length == MaxPacket
	switch {
	case continued: // a text, or what is dropped, goes on
	case s.login && d.sequence == 1:
		d.index, d.size, d.skip = 0, 0, loginResponseBytes
		d.part, d.user, d.entry = partUser, userFixed, entry{body: bodyUser}
	case d.sequence == 0 && (!d.file || d.expect != 0):
		if d.file = false; s.login { // the client would not ask before it was let in
			s.loseClient()
		}
		d.index, d.size, d.part, d.entry = 0, 0, partFixed, entry{}
	default: // a file, or a proof
		d.index, d.part, d.file = 0, partDropped, d.length > 0
	}
	d.expect = d.sequence + 1
	s.endClient()
}

// command acts on the byte of a command.
func (s *scanner) command(c Command) {
	d := &s.client
	d.entry = entries[c]
	d.size, d.skip = 0, d.entry.fixed
	if !c.fits(d.length) {
		s.loseClient()
		return
	}
	if s.opaque = d.entry.kind == Stream; s.opaque {
		return
	}
	s.push(d.entry.kind)
	s.enterBody()
}

// enterBody goes on behind the bytes of a fixed number.
func (s *scanner) enterBody() {
	d := &s.client
	if d.skip > 0 {
		return
	}
	switch d.entry.body {
	case bodyText:
		d.part = partText
		d.text.Reset(s.syntax, s.rules.Literals)
	case bodyAttributes:
		d.part, d.parameters = partAttributes, Parameters{}
	case bodyName:
		d.part = partName
	case bodyUser:
		d.part, d.user = partUser, userName
	default:
		d.part = partDropped
	}
	d.size = 0
}

// partOf reads bytes of the part at which the message is, and gives how many.
func (s *scanner) partOf(b []byte, at int, w *edge.Writer) int {
	d := &s.client
	switch d.part {
	case partFixed:
		n := min(len(b), d.skip)
		w.Keep(at, at+n)
		d.skip -= n
		s.enterBody()
		return n
	case partAttributes:
		return s.attributes(b, at, w)
	case partText:
		s.readText(b, at, w)
	case partName:
		n := min(len(b), max(0, maxName-d.size))
		w.Keep(at, at+n)
		d.size += len(b)
	case partUser:
		return s.readUser(b, at, w)
	default:
	}
	return len(b)
}

// attributes reads the attributes of a query, where both ends have the capability. Names and values are blanked, but
// for those of a traceparent. Where the capabilities are not known, what begins with a control character other than
// white space may have attributes; then a query that has any is dropped.
func (s *scanner) attributes(b []byte, at int, w *edge.Writer) int {
	d := &s.client
	has := Agreed(s.capabilities[0], s.capabilities[1])&CapQueryAttributes != 0
	if !s.known {
		space := b[0] == '\t' || b[0] == '\n' || b[0] == '\r'
		has = d.size == 1 || b[0] < ' ' && (!space || len(b) == 1 || b[1] == 1)
	}
	if !has {
		s.beginText()
		return 0
	}
	for i, c := range b {
		use := d.parameters.Read(c)
		if d.size++; d.parameters.Failed() || !s.known && !d.parameters.None() {
			d.part = partDropped
			return i
		}
		if use == Keeps {
			w.Keep(at+i, at+i+1)
		} else {
			w.Blank(at+i, at+i+1)
		}
		if d.parameters.Done() {
			s.beginText()
			return i + 1
		}
	}
	return len(b)
}

// beginText begins to read a statement.
func (s *scanner) beginText() {
	d := &s.client
	d.part, d.size = partText, 0
	d.text.Reset(s.syntax, s.rules.Literals)
}

// readText reads bytes of a statement.
func (s *scanner) readText(b []byte, at int, w *edge.Writer) {
	d := &s.client
	if d.size < len(d.word) {
		copy(d.word[d.size:], b)
	}
	n := min(len(b), max(0, maxText-d.size))
	d.size += len(b)
	if n > 0 {
		d.text.Blank(b[:n])
		w.Fill(at, at+n, b[:n]) // over itself, so that the writer knows
	}
}

// readFlags reads what the client says of itself before its user: capabilities, and a collation.
func (s *scanner) readFlags(b []byte, index int) {
	d := &s.client
	for i, c := range b {
		if index+i < 4 {
			s.capabilities[0] |= uint32(c) << (8 * (index + i))
		}
		if index+i == loginCollation {
			if s.syntax.Bytes = sql.Yes; Multibyte(c) {
				s.syntax.Bytes = sql.No
			}
		}
	}
	if index+len(b) >= 4 {
		s.known = true
		s.encrypts = Encrypts(s.capabilities[0], s.capabilities[1], d.length) && s.greeted && !s.server.inside
		s.opaque = Leaves(s.capabilities[0], s.capabilities[1]) || !s.encrypts && AsksEncryption(s.capabilities[0], d.length)
	}
}

// readUser reads who the client is. Only the database leaves the node.
func (s *scanner) readUser(b []byte, at int, w *edge.Writer) int {
	d := &s.client
	flags := s.capabilities[0]
	switch d.user {
	case userFixed:
		n := min(len(b), d.skip)
		w.Keep(at, at+n)
		s.readFlags(b[:n], d.index)
		if d.skip -= n; d.skip == 0 {
			d.user = userName
		}
		return n
	case userName:
		n := bytes.IndexByte(b, 0)
		if n < 0 {
			w.Blank(at, at+len(b))
			return len(b)
		}
		w.Blank(at, at+n)
		if d.user = userSize; s.known && !ProofHasLength(flags) {
			d.user, d.skip = userProof, -1 // up to a zero
		}
		w.Keep(at+n, at+n+1)
		return n + 1
	case userSize: // its sizes of more than a byte are not in use
		w.Keep(at, at+1)
		d.user, d.skip = userProof, int(b[0])
		if b[0] > 250 {
			d.part = partDropped
		}
		if d.skip == 0 {
			d.user = userDatabase
			s.enterDatabase()
		}
		return 1
	case userProof:
		n := min(len(b), d.skip)
		if d.skip < 0 {
			if n = bytes.IndexByte(b, 0); n < 0 {
				w.Blank(at, at+len(b))
				return len(b)
			}
			w.Blank(at, at+n)
			w.Keep(at+n, at+n+1)
			d.user = userDatabase
			s.enterDatabase()
			return n + 1
		}
		w.Blank(at, at+n)
		d.skip -= n
		if d.skip == 0 {
			d.user = userDatabase
			s.enterDatabase()
		}
		return n
	default:
		n := bytes.IndexByte(b, 0)
		if n < 0 {
			w.Keep(at, at+len(b))
			return len(b)
		}
		w.Keep(at, at+n+1)
		d.part = partDropped
		return n + 1
	}
}

// enterDatabase goes on behind the proof.
func (s *scanner) enterDatabase() {
	d := &s.client
	if d.isLogin() && !NamesDatabase(s.capabilities[0]) || d.left > maxGreeting+uint32(maxName) {
		d.part = partDropped
	}
}

// endClient acts on the end of a packet.
func (s *scanner) endClient() {
	d := &s.client
	if !d.inside || d.left > 0 {
		return
	}
	d.inside = false
	if d.goesOn {
		return
	}
	s.opaque = s.opaque || s.encrypts
	if d.part == partText && d.entry.kind != Unknown {
		s.learn(d.word[:min(d.size, len(d.word))])
	}
}

// learn looks whether a statement changes the character set of the client to one whose text must be read with care.
func (s *scanner) learn(text []byte) {
	if text = bytes.TrimLeft(text, " \t\r\n"); len(text) < 3 || !bytes.EqualFold(text[:3], []byte("set")) {
		return
	}
	text = bytes.ToLower(text)
	switch {
	case bytes.Contains(text, []byte("gbk")), bytes.Contains(text, []byte("gb18030")), bytes.Contains(text, []byte("big5")),
		bytes.Contains(text, []byte("sjis")), bytes.Contains(text, []byte("cp932")):
		s.syntax.Bytes = sql.No
	case bytes.Contains(text, []byte("names")), bytes.Contains(text, []byte("char")):
		if s.syntax.Bytes != sql.No {
			return
		}
		s.syntax.Bytes = sql.Unknown
	}
}
