package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/mysql"
)

// AppendState implements [decode.Parser].
func (p *parser) AppendState(c *decode.Conn, w *snapshot.Writer) {
	for _, d := range [2]*direction{&p.ask, &p.resp} {
		w.Uint(uint64(c.Index(d.x)))
		w.Uint(d.left)
		w.Uint(uint64(d.state))
		w.Bool(d.goesOn)
	}
	for _, v := range p.answer.Export() {
		w.Uint(v)
	}
	for _, b := range p.bits() {
		w.Bool(*b)
	}
	w.Uint(uint64(p.next))
	w.Uint(uint64(p.expect))
	w.Uint(uint64(p.failures))
	w.Uint(uint64(p.capability))
	w.Uint(uint64(p.offered))
	w.Bool(p.wrapped)
	w.Bool(p.ask.wrapped)
	w.Bool(p.resp.wrapped)
	w.Bytes(p.database)
	w.Uint(p.pendingAt)
	w.Bool(p.pending != nil)
	if p.pending != nil {
		p.pending.appendState(w)
	}
	w.Uint(uint64(len(p.prepared.byID)))
	for _, id := range p.prepared.order() {
		w.Uint(uint64(id))
		p.prepared.byID[id].appendState(w)
	}
	w.Bool(p.keepStatements)
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(c *decode.Conn, version uint64, r *snapshot.Reader) {
	for _, d := range [2]*direction{&p.ask, &p.resp} {
		d.x = c.At(int(r.Uint()))
		d.left, d.state, d.goesOn = r.Uint(), state(r.Uint()), r.Bool()
		if d.state >= lastState || d.state == inPayload && d.left == 0 {
			r.Fail()
		}
	}
	var answer mysql.AnswerState
	for i := range answer {
		answer[i] = r.Uint()
	}
	if !p.answer.Import(answer) {
		r.Fail()
	}
	for _, b := range p.bits() {
		*b = r.Bool()
	}
	p.next, p.expect, p.failures, p.capability = byte(r.Uint()), byte(r.Uint()), int(r.Uint()), uint32(r.Uint())
	if version > 1 { // before that, what is compressed was given up
		p.offered, p.wrapped = uint32(r.Uint()), r.Bool()
		p.ask.wrapped, p.resp.wrapped = r.Bool(), r.Bool()
	}
	p.database, p.pendingAt = r.Bytes(), r.Uint()
	if r.Bool() {
		p.pending = &statement{}
		p.pending.restoreState(r)
	}
	for range r.Items() {
		id, t := uint32(r.Uint()), &statement{}
		t.restoreState(r)
		p.prepared.add(id, t)
	}
	// Settings are not state: what was read while literals were kept is not shown any more.
	if kept := r.Bool(); kept && !p.keepStatements {
		p.pending = nil
		p.prepared.clear()
	}
	if p.ask.state == cut || p.resp.state == cut && p.resp.x == nil {
		r.Fail()
	}
}

func (p *parser) bits() [11]*bool {
	return [11]*bool{
		&p.active, &p.ended, &p.free, &p.begun, &p.login, &p.greeted, &p.known, &p.mariadb, &p.answered, &p.opaque, &p.file,
	}
}

func (t *statement) appendState(w *snapshot.Writer) {
	for _, b := range t.fields() {
		w.Bytes(*b)
	}
}

func (t *statement) restoreState(r *snapshot.Reader) {
	for _, b := range t.fields() {
		*b = r.Bytes()
	}
}

func (t *statement) fields() [5]*[]byte {
	return [5]*[]byte{&t.text, &t.summary, &t.operation, &t.collection, &t.procedure}
}
