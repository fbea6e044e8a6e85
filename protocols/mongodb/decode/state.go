package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
)

// Held implements [decode.Parser].
func (p *parser) Held() int { return p.requests.facts.Held() + p.replies.facts.Held() }

// AppendState implements [decode.Parser].
func (p *parser) AppendState(c *decode.Conn, w *snapshot.Writer) {
	for _, d := range []*direction{&p.requests, &p.replies} {
		w.Bytes(d.reader.AppendState(nil))
		w.Bytes(d.facts.AppendState(nil))
		w.Uint(uint64(c.Index(d.x)))
		w.Uint(d.id)
		w.Bool(d.lost)
	}
	w.Uint(uint64(p.chain))
	w.Uint(p.chained)
	w.Bool(p.inChain)
	w.Bool(p.understood)
	for _, id := range p.commands.IDs() {
		w.Uint(uint64(id))
	}
	w.Uint(p.requests.packedEnd)
	w.Uint(p.replies.packedEnd)
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(c *decode.Conn, version uint64, r *snapshot.Reader) {
	if version < 1 || version > Protocol.StateVersion {
		r.Fail()
		return
	}
	for _, d := range []*direction{&p.requests, &p.replies} {
		if !d.reader.RestoreState(r.Bytes()) || !d.facts.RestoreState(r.Bytes()) {
			r.Fail()
			return
		}
		d.x = c.At(int(r.Uint()))
		d.id, d.lost = r.Uint(), r.Bool()
	}
	p.chain, p.chained = uint32(r.Uint()), r.Uint()
	p.inChain, p.understood = r.Bool(), r.Bool()
	for range p.commands.IDs() {
		p.commands.Add(uint32(r.Uint()))
	}
	if version > 1 {
		p.requests.packedEnd, p.replies.packedEnd = r.Uint(), r.Uint()
	}
}
