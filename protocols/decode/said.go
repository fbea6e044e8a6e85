package decode

import (
	"math"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode/snapshot"
)

// size is about how many bytes s takes in a snapshot, and not less. Names are texts there: their numbers are of this
// process only.
func (s *Said) size() int {
	n := len(s.Operation) + len(s.ErrorType) + len(s.ErrorMessage) + len(s.Path) + len(s.ServerName)
	if s.Attributes.count > 0 {
		n += len(s.Attributes.b) + s.Attributes.count*(int(names.longest.Load())+10)
	}
	for i := range s.Links {
		n += 48 + len(s.Links[i].State)
	}
	return n
}

func (s *Said) texts() [5]*[]byte {
	return [5]*[]byte{&s.Operation, &s.ErrorType, &s.ErrorMessage, &s.Path, &s.ServerName}
}

func (s *Said) appendState(w *snapshot.Writer) {
	w.Uint(uint64(s.Family))
	w.Uint(uint64(s.Kind))
	w.Uint(uint64(s.Protocol))
	for _, b := range s.texts() {
		w.Bytes(*b)
	}
	w.Uint(uint64(s.ServerPort))
	w.Uint(uint64(s.Attributes.count))
	s.Attributes.Each(func(n Name, v *Value) bool {
		w.Text(n.String())
		v.appendState(w)
		return true
	})
	w.Uint(uint64(len(s.Links)))
	for i := range s.Links {
		s.Links[i].appendState(w)
	}
}

func (s *Said) restoreState(r *snapshot.Reader) {
	s.Family, s.Kind, s.Protocol = Family(r.Uint()), millracev1.SpanKind(r.Uint()), millracev1.Protocol(r.Uint())
	for _, b := range s.texts() {
		*b = r.Bytes()
	}
	s.ServerPort = uint32(r.Uint())
	for range r.Items() {
		s.Attributes.restore(r)
	}
	for range r.Items() {
		if len(s.Links) == MaxLinks {
			r.Fail()
			return
		}
		var c Context
		c.restoreState(r)
		s.Links = append(s.Links, c)
	}
}

func (v *Value) appendState(w *snapshot.Writer) {
	w.Uint(uint64(v.tag))
	switch v.tag {
	case tagText:
		w.Bytes(v.Text)
	case tagNumber:
		w.Int(v.Number)
	case tagReal:
		w.Uint(math.Float64bits(v.Real))
	case tagTexts:
		w.Uint(uint64(len(v.Texts)))
		for _, t := range v.Texts {
			w.Bytes(t)
		}
	}
}

// restore reads an attribute. One that no room of this version knows is dropped.
func (a *Attributes) restore(r *snapshot.Reader) {
	n, ok := known(r.Text())
	if !ok {
		a = &Attributes{}
	}
	switch r.Uint() {
	case uint64(tagText):
		a.Text(n, r.Bytes())
	case uint64(tagNumber):
		a.Number(n, r.Int())
	case uint64(tagReal):
		a.Real(n, math.Float64frombits(r.Uint()))
	case uint64(tagYes):
		a.Yes(n)
	case uint64(tagTexts):
		var texts []string
		for range r.Items() {
			texts = append(texts, r.Text())
		}
		a.Texts(n, texts...)
	default:
		r.Fail()
	}
}

func (c *Context) appendState(w *snapshot.Writer) {
	w.Bool(c.Valid)
	if c.Valid {
		w.Bytes(c.TraceID[:])
		w.Uint(c.SpanID)
		w.Uint(uint64(c.Flags))
	}
	w.Bytes(c.State)
}

func (c *Context) restoreState(r *snapshot.Reader) {
	if c.Valid = r.Bool(); c.Valid {
		if copy(c.TraceID[:], r.Bytes()) != 16 {
			r.Fail()
		}
		c.SpanID, c.Flags = r.Uint(), uint8(r.Uint())
	}
	c.State = r.Bytes()
}
