package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/memcached"
)

// AppendState implements [decode.Parser]. A line that is being read is written as it was read so far; of a longer one
// than is kept, what follows has no meaning for the statement.
func (p *parser) AppendState(c *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(c.Index(p.x)))
	w.Bytes(p.read)
	w.Uint(p.value)
	w.Uint(uint64(p.failures))
	w.Uint(uint64(p.state))
	w.Bool(p.answered)
	w.Bool(p.opaque)
	p.resp.appendState(c, w)
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(c *decode.Conn, _ uint64, r *snapshot.Reader) {
	p.x = c.At(int(r.Uint()))
	p.read, p.value = r.Bytes(), r.Uint()
	p.failures, p.state = int(r.Uint()), state(r.Uint())
	p.answered, p.opaque = r.Bool(), r.Bool()
	p.resp.restoreState(c, r)
	if p.state >= lastState || len(p.read) > maxStatement || p.state == inValue && p.value == 0 {
		r.Fail()
		p.state = lost
		return
	}
	if p.state != inLine && p.state != inValue {
		return
	}
	p.line, p.statement, p.hidden = memcached.Request{}, p.statement[:0], false
	for i := 0; i < len(p.read); {
		n, kind := p.line.Next(p.read[i:])
		if kind != memcached.End {
			p.say(p.read[i:i+n], kind)
		}
		i += n
	}
}
