package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/rediscommand"
)

// Held implements [decode.Parser].
func (p *parser) Held() int { return len(p.name) + len(p.statement) + p.resp.message.held() }

// AppendState implements [decode.Parser].
func (p *parser) AppendState(c *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(c.Index(p.x)))
	w.Uint(p.args)
	w.Uint(p.remain)
	w.Uint(uint64(p.index))
	w.Bytes(p.name)
	w.Bytes(p.statement)
	name := ""
	if p.command != nil {
		if name = p.command.name; name == "" {
			name = p.entry.Name
		}
	}
	w.Text(name)
	w.Uint(uint64(p.scanned))
	w.Uint(uint64(p.failures))
	w.Int(int64(p.database))
	w.Int(int64(p.selecting))
	w.Uint(uint64(p.silenced))
	w.Uint(uint64(p.state))
	w.Uint(uint64(p.replyMode))
	w.Uint(uint64(p.changes))
	w.Int(int64(p.selected))
	w.Bool(p.keepValues)
	for _, b := range p.bits() {
		w.Bool(*b)
	}
	p.resp.appendState(c, w)
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(c *decode.Conn, version uint64, r *snapshot.Reader) {
	p.x = c.At(int(r.Uint()))
	p.args, p.remain, p.index = r.Uint(), r.Uint(), int(r.Uint())
	p.name, p.statement = r.Bytes(), r.Bytes()
	p.command = lookup(rediscommand.Lookup([]byte(r.Text())))
	p.scanned, p.failures = int(r.Uint()), int(r.Uint())
	p.database, p.selecting = int32(r.Int()), int32(r.Int())
	p.silenced, p.state, p.replyMode = uint8(r.Uint()), requestState(r.Uint()), uint8(r.Uint())
	if version > 0 {
		p.changes = uint32(r.Uint())
	}
	if p.selected = -1; version > 1 {
		p.selected = int32(r.Int())
	}
	p.entry = rediscommand.Lookup(p.name)
	// Settings are not state: keepValues is that of today. What was read under another is shown by today's rules.
	if kept := r.Bool(); kept && !p.keepValues {
		p.hideLiterals(c)
	}
	for i, b := range p.bits() {
		*b = (i < bitsBefore1 || i == bitsBefore1 && version > 0 || version > 1) && r.Bool()
	}
	p.resp.restoreState(c, version, r)
	inCommand := p.state == atArgument || p.state == inArgument || p.state == inValue
	if p.state >= lastRequestState || p.scanned < 0 || p.scanned > len(c.Requests.Bytes()) || p.index < 0 ||
		inCommand && (p.args == 0 || p.x == nil && c.Open() > 0 || p.state != atArgument && p.remain == 0) ||
		p.state == inArgument && p.remain < 2 {
		r.Fail()
		p.state, p.scanned = lostCommand, 0
	}
}

// hideLiterals takes the statements out of what was read while decoder.keep_statements was on: which of their words are
// literals is not known any more.
func (p *parser) hideLiterals(c *decode.Conn) {
	if len(p.statement) > 0 {
		p.statement = append(p.statement[:0], " ?"...)
	}
	for i := range c.Open() {
		c.At(i + 1).Said.Attributes.Drop(attrQuery)
	}
}

// bitsBefore1 is how many bits the state has before version 1.
const bitsBefore1 = 5

func (p *parser) bits() [7]*bool {
	return [7]*bool{&p.subscribed, &p.monitoring, &p.answered, &p.opaque, &p.replicates, &p.missed, &p.multi}
}
