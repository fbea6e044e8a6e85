package decode

import (
	"bytes"
	"encoding/binary"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/mysql"
)

func (p *parser) requests(c *decode.Conn) {
	s, d := c.Requests, &p.ask
	for s.Next() != stream.None && !p.opaque {
		if p.unwrapped(d, s) && d.state != lost {
			if p.opaque = s.Next() == stream.Bytes; !p.opaque {
				p.loseRequest(c, false)
			}
			continue
		}
		switch d.state {
		case inPayload:
			if d.left -= s.Skip(d.left); d.left == 0 {
				p.endRequest(c)
			}
		case lost:
			if b := s.Bytes(); len(b) > 0 && s.AtEventStart() && !p.unwrapped(d, s) && mysql.Begins(b, false) {
				*d = direction{}
			} else if !s.PassToEvent() {
				p.failures++
			}
		default:
			if !p.request(c) {
				return
			}
		}
	}
}

// request reads the beginning of a packet of the client. False: wait for more.
func (p *parser) request(c *decode.Conn) bool {
	s, d := c.Requests, &p.ask
	b := s.Bytes()
	if len(b) < mysql.HeaderBytes {
		if s.Cut() {
			p.loseRequest(c, false)
			return true
		}
		return false
	}
	length, sequence := mysql.Length(b), b[3]
	continued := d.goesOn
	command := !continued && sequence == 0 && (!p.file || p.expect != 0)
	want := 0
	switch {
	case command && length > 0:
		want = wanted(mysql.Command(peek(b)), length)
	case !continued && p.login && sequence == 1:
		want = int(min(length, 32+2*maxName))
	}
	if len(b)-mysql.HeaderBytes < want && !s.Cut() {
		return false
	}
	got := b[mysql.HeaderBytes:min(len(b), mysql.HeaderBytes+want)]
	switch {
	case continued:
	case command:
		p.file, d.x = false, nil
		if len(got) == 0 || mysql.Command(got[0]).Kind() == mysql.Unknown {
			p.loseRequest(c, length == 0 || len(got) > 0)
			return true
		}
		p.command(c, got, length, len(got) < want)
	case want > 0:
		p.readLogin(got)
		if mysql.AsksEncryption(p.capability, length) {
			whole := s.Skip(uint64(length)+mysql.HeaderBytes) == uint64(length)+mysql.HeaderBytes
			p.opaque = true
			p.encrypted = whole && p.greeted && p.resp.state == atHeader && mysql.Encrypts(p.capability, p.offered, length)
			return true
		}
	default:
		p.file, d.x = length > 0, nil
		if x := c.Oldest(); x != nil && x.RequestDone() { // a file belongs to the statement that loads it
			x.RequestBytes += uint64(length) + mysql.HeaderBytes
		}
	}
	p.expect = sequence + 1
	d.goesOn = length == mysql.MaxPacket
	d.left, d.state = uint64(length)+mysql.HeaderBytes, inPayload
	return true
}

// peek gives the first byte behind a header, 0 if it is not there.
func peek(b []byte) byte {
	if len(b) > mysql.HeaderBytes {
		return b[mysql.HeaderBytes]
	}
	return 0
}

// wanted is how many bytes of a command are looked at.
func wanted(c mysql.Command, length uint32) int {
	n := uint32(11)
	switch c {
	case mysql.Query, mysql.Prepare:
		n = 3 + maxText
	case mysql.InitDB:
		n = 1 + maxName
	case mysql.ChangeUser:
		n = 1 + 4*maxName
	default:
	}
	return int(min(length, n))
}

// command opens the exchange of a command of which got are the first bytes; with missed, a gap cuts what was wanted.
func (p *parser) command(c *decode.Conn, got []byte, length uint32, missed bool) {
	command := mysql.Command(got[0])
	kind := command.Kind()
	switch kind {
	case mysql.Nothing:
		if command == mysql.Close && len(got) >= 5 {
			p.prepared.remove(binary.LittleEndian.Uint32(got[1:]))
		}
		return
	case mysql.Stream:
		p.opaque = true
		return
	default:
	}
	if p.resp.state == cut {
		p.endCut(c)
	}
	late := byte(0)
	c.Each(func(before *decode.Exchange) {
		if before.Flags&flagNamespace != 0 {
			late = flagLate
		}
	})
	x := c.Begin()
	p.ask.x = x
	x.Flags = byte(kind) | late
	whole := uint32(len(got)) == length
	switch command {
	case mysql.Query:
		p.query(x, got[1:], !whole, missed)
		c.Started(x)
	case mysql.Execute, mysql.BulkExecute:
		var t *statement
		if len(got) >= 5 {
			t = p.find(binary.LittleEndian.Uint32(got[1:]))
		}
		p.describe(x, t)
		c.Started(x)
	case mysql.Prepare: // it is published if it fails, which is known then
		x.Flags |= flagPrepare
		if p.pending, p.pendingAt = nil, x.Offset; !missed {
			p.pending = p.read(got[1:], !whole)
			x.Scratch = append(x.Scratch, got[1:]...)
		}
		p.describe(x, p.pending)
	case mysql.InitDB:
		x.Ignore = true
		x.Flags |= flagNamespace
		if !missed {
			x.Scratch = append(x.Scratch, got[1:min(len(got), 1+maxName)]...)
		}
	case mysql.ChangeUser:
		x.Ignore = true
		x.Flags |= flagNamespace | flagReset
		x.Scratch = append(x.Scratch, databaseOf(got[1:], p.capability, false)...)
	case mysql.ResetSession:
		x.Ignore = true
		x.Flags |= flagReset
	default:
		x.Ignore = true
	}
}

// query describes a text query: its text, behind attributes where the client sends them.
func (p *parser) query(x *decode.Exchange, text []byte, cutOff, missed bool) {
	has := mysql.Agreed(p.capability, p.offered)&mysql.CapQueryAttributes != 0
	if !p.known {
		has = len(text) > 0 && (text[0] == 0 || text[0] < ' ' && (len(text) == 1 || text[1] == 1))
	}
	if has {
		var attributes mysql.Parameters
		n := 0
		for n < len(text) && !attributes.Done() && !attributes.Failed() {
			attributes.Read(text[n])
			n++
		}
		if !attributes.Done() || !p.known && !attributes.None() {
			p.describe(x, nil)
			return
		}
		if text = text[n:]; attributes.Traceparent() != nil {
			x.Context.Traceparent(attributes.Traceparent())
		}
	}
	p.describeText(x, text, cutOff)
	if missed && mayUse(text) { // to a database that is not known
		x.Flags |= flagNamespace
	} else if name := useOf(text); name != nil && !cutOff {
		x.Flags |= flagNamespace
		x.Scratch = append(x.Scratch, name[:min(len(name), maxName)]...)
	}
}

// find gives the prepared statement with a number. MariaDB: -1 is the one that was prepared last.
func (p *parser) find(id uint32) *statement {
	if id == 0xffffffff {
		return p.pending
	}
	return p.prepared.find(id)
}

// readLogin reads what the client answers to the greeting, or its request for encryption.
func (p *parser) readLogin(b []byte) {
	if len(b) < 4 {
		return
	}
	p.capability, p.known = binary.LittleEndian.Uint32(b), true
	if mysql.Leaves(p.capability, p.offered) {
		p.opaque = true
		return
	}
	p.wrapped = mysql.Compresses(p.capability, p.offered)
	if p.answer.DeprecateEOF = mysql.No; mysql.Agreed(p.capability, p.offered)&mysql.CapDeprecateEOF != 0 {
		p.answer.DeprecateEOF = mysql.Yes
	}
	if len(b) > 32 {
		p.use(databaseOf(b[32:], p.capability, true))
	}
}

// databaseOf reads the database behind the user and the proof. login says that a flag tells whether there is one.
func databaseOf(b []byte, capability uint32, login bool) []byte {
	if login && !mysql.NamesDatabase(capability) {
		return nil
	}
	end := bytes.IndexByte(b, 0)
	if end < 0 {
		return nil
	}
	b = b[end+1:]
	if !mysql.ProofHasLength(capability) && login {
		if end = bytes.IndexByte(b, 0); end < 0 {
			return nil
		}
		b = b[end+1:]
	} else {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return nil
		}
		b = b[1+int(b[0]):]
	}
	if end = bytes.IndexByte(b, 0); end < 0 {
		return nil
	}
	return b[:end]
}

// endRequest acts on the end of a packet of the client.
func (p *parser) endRequest(c *decode.Conn) {
	d := &p.ask
	if d.state = atHeader; d.goesOn {
		return
	}
	x := d.x
	if d.x = nil; x != nil && x == c.Newest() {
		c.EndRequest(x)
	}
}

// loseRequest gives up the place in what the client sends. With failed, the bytes were not those of a packet;
// otherwise a gap comes next.
func (p *parser) loseRequest(c *decode.Conn, failed bool) {
	s := c.Requests
	if failed {
		p.failures++
		s.SkipToEvent()
	} else {
		s.Skip(uint64(len(s.Bytes())))
		s.PassGap()
	}
	if p.resp.state == cut { // what is missing may be the next command
		p.loseReply(c, false)
	}
	if x := p.ask.x; p.cutRequest(c) {
		c.BreakRequest(x)
	}
	p.ask = direction{state: lost}
	p.file, p.login = false, false
	p.database = p.database[:0]
	c.RequestGap()
}

// cutRequest ends the reading of a request whose rest will not be seen. It reports whether its exchange still waits.
func (p *parser) cutRequest(c *decode.Conn) bool {
	x := p.ask.x
	p.ask.x = nil
	return x != nil && x == c.Newest()
}
