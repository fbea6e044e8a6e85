package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/kafka/message"
)

// Held implements [decode.Parser].
func (p *parser) Held() int { return p.requests.facts.Held() + p.responses.facts.Held() + len(p.group) }

// AppendState implements [decode.Parser].
func (p *parser) AppendState(_ *decode.Conn, w *snapshot.Writer) {
	for _, d := range []*direction{&p.requests, &p.responses} {
		w.Bytes(d.reader.AppendState(nil))
		w.Bytes(d.facts.AppendState(nil))
		w.Uint(d.id)
		w.Uint(uint64(d.part))
		w.Bool(d.found)
		w.Bool(d.lost)
	}
	w.Bytes(p.group)
	w.Bool(p.understood)
	w.Bool(p.mixed)
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(_ *decode.Conn, version uint64, r *snapshot.Reader) {
	if version < 1 || version > Protocol.StateVersion {
		r.Fail()
		return
	}
	for _, d := range []*direction{&p.requests, &p.responses} {
		if !d.reader.RestoreState(r.Bytes()) || !d.facts.RestoreState(r.Bytes()) {
			r.Fail()
			return
		}
		d.id, d.part = r.Uint(), int(r.Uint())
		d.found, d.lost = r.Bool(), r.Bool()
		if d.part < 0 || d.part >= message.MaxTopics {
			r.Fail()
			return
		}
	}
	p.group = r.Bytes()
	p.understood = r.Bool()
	p.mixed = version > 1 && r.Bool()
}
