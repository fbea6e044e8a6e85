package decode

import (
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/http2"
)

// AppendState implements [decode.Parser].
func (p *parser) AppendState(_ *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(p.failures))
	for i := range p.directions {
		d := &p.directions[i]
		w.Bool(d.begun)
		w.Bool(d.lost)
		w.Bool(d.inFrame)
		w.Bool(d.cut)
		appendHeader(w, &d.frame)
		w.Uint(uint64(d.taken))
		w.Uint(uint64(d.padding))
		w.Uint(uint64(d.open))
		appendHeader(w, &d.first)
		w.Bytes(d.block)
		w.Uint(uint64(d.last))
		d.table.appendState(w, p.names)
	}
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(_ *decode.Conn, version uint64, r *snapshot.Reader) {
	if version != Protocol.StateVersion && version != 1 { // 1 has no names of layers
		r.Fail()
		return
	}
	p.failures = int(r.Uint() & 0xff)
	for i := range p.directions {
		d := &p.directions[i]
		d.begun, d.lost, d.inFrame, d.cut = r.Bool(), r.Bool(), r.Bool(), r.Bool()
		d.frame = readHeader(r)
		d.taken, d.padding, d.open = uint32(r.Uint()), uint32(r.Uint()), uint32(r.Uint())
		d.first = readHeader(r)
		d.block = r.Bytes()
		d.last = uint32(r.Uint())
		d.table.restoreState(r, p.names)
		if d.taken > d.frame.Length || d.padding > d.frame.Length || len(d.block) > maxBlock {
			r.Fail()
			return
		}
	}
}

func appendHeader(w *snapshot.Writer, h *http2.Header) {
	w.Uint(uint64(h.Length))
	w.Uint(uint64(h.Type))
	w.Uint(uint64(h.Flags))
	w.Uint(uint64(h.Stream))
}

func readHeader(r *snapshot.Reader) http2.Header {
	h := http2.Header{Length: uint32(r.Uint()), Type: http2.Type(r.Uint()), Flags: uint8(r.Uint()), Stream: uint32(r.Uint())}
	if h.Length >= 1<<24 {
		r.Fail()
	}
	return h
}
