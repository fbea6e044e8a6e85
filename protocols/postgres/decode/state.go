package decode

import (
	"slices"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
)

// Held implements [decode.Parser].
func (p *parser) Held() int {
	return len(p.requests.body) + len(p.replies.body) + 2*(len(p.items)-p.head) + len(p.user) + len(p.database) + p.cache.held() + p.of.held()
}

func (s *statement) held() int {
	if s == nil {
		return 0
	}
	return s.size()
}

// AppendState implements [decode.Parser].
func (p *parser) AppendState(c *decode.Conn, w *snapshot.Writer) {
	for _, r := range [...]*reader{&p.requests, &p.replies} {
		for _, b := range [...]bool{r.first, r.lost, r.reading, r.cut} {
			w.Bool(b)
		}
		w.Uint(uint64(r.kind))
		w.Uint(uint64(r.code))
		w.Uint(r.left)
		w.Bytes(r.body)
	}
	w.Bytes(p.user)
	w.Bytes(p.database)
	w.Uint(uint64(p.answers))
	w.Uint(uint64(p.failures))
	for _, b := range p.bits() {
		w.Bool(*b)
	}
	w.Uint(uint64(c.Index(p.unit)))
	w.Uint(uint64(p.units))
	w.Uint(uint64(len(p.items) - p.head))
	for _, it := range p.items[p.head:] {
		w.Uint(uint64(it.kind))
		w.Bool(it.last)
	}
	r := &p.result
	w.Uint(r.rows)
	w.Uint(r.tagRows)
	w.Bytes(r.tag[:r.tagged])
	w.Bytes(r.status[:])
	appendStatement(w, p.of)
	p.cache.appendState(w)
}

func (p *parser) bits() [15]*bool {
	r := &p.result
	return [15]*bool{
		&p.starting, &p.opaque, &p.answered, &p.parsed, &p.bound, &p.failed, &p.hidden, &r.rowed, &r.counted, &r.fatal, &r.failed,
		&r.copies, &r.gapped, &p.doubted, &p.copied,
	}
}

// RestoreState implements [decode.Parser].
func (p *parser) RestoreState(c *decode.Conn, _ uint64, r *snapshot.Reader) {
	for i, d := range [...]*reader{&p.requests, &p.replies} {
		*d = reader{client: i == 0}
		d.first, d.lost, d.reading, d.cut = r.Bool(), r.Bool(), r.Bool(), r.Bool()
		d.kind, d.code, d.left, d.body = byte(r.Uint()), uint32(r.Uint()), r.Uint(), r.Bytes()
		if len(d.body) > maxBody || d.left > 1<<30 {
			r.Fail()
		}
	}
	p.user, p.database = r.Bytes(), r.Bytes()
	p.answers, p.failures = int(r.Uint()), int(r.Uint())
	for _, b := range p.bits() {
		*b = r.Bool()
	}
	p.unit, p.units = c.At(int(r.Uint())), int(r.Uint())
	for range r.Items() {
		p.items = append(p.items, item{byte(r.Uint()), r.Bool()})
	}
	result := &p.result
	result.rows, result.tagRows = r.Uint(), r.Uint()
	result.tagged = copy(result.tag[:], r.Bytes())
	copy(result.status[:], r.Bytes())
	p.of = readStatement(r)
	p.cache.restoreState(r)
	if p.answers < 0 || p.units < 0 || p.units > c.Open() || len(p.items) > maxItems {
		r.Fail()
	}
}

func appendStatement(w *snapshot.Writer, s *statement) {
	if w.Bool(s != nil); s == nil {
		return
	}
	for _, part := range s.parts() {
		w.Bytes(*part)
	}
}

func readStatement(r *snapshot.Reader) *statement {
	if !r.Bool() {
		return nil
	}
	s := &statement{}
	for _, part := range s.parts() {
		*part = r.Bytes()
	}
	return s
}

func (k *cache) appendState(w *snapshot.Writer) {
	appendStatement(w, k.unnamed)
	appendStatement(w, k.current)
	w.Uint(uint64(len(k.order)))
	for _, name := range k.order {
		w.Text(name)
		appendStatement(w, k.named[name])
	}
	portals := make([]string, 0, len(k.portals))
	for name := range k.portals {
		portals = append(portals, name)
	}
	slices.Sort(portals)
	w.Uint(uint64(len(portals)))
	for _, name := range portals {
		w.Text(name)
		appendStatement(w, k.portals[name])
	}
}

func (k *cache) restoreState(r *snapshot.Reader) {
	k.unnamed, k.current = readStatement(r), readStatement(r)
	for range r.Items() {
		name := r.Text()
		if s := readStatement(r); s != nil && name != "" {
			k.put([]byte(name), s)
		}
	}
	for range r.Items() {
		name := r.Text()
		if s := readStatement(r); name != "" && len(k.portals) < maxPortals {
			k.bind([]byte(name), s)
		}
	}
}
