package metrics

import (
	"bytes"
	"strconv"

	"millrace.dev/services/enricher/internal/attribute"
)

// maxSlots bounds the attributes of exchanges that metrics have, of all metrics together. Names of attributes.select
// beyond it are in no metric, which services say when they start.
const maxSlots = 64

// Slots that are taken whatever is configured.
const (
	slotStatus = iota
	slotScheme
	slotURL
	fixedSlots
)

// slotted gives the names with a fixed slot.
var slotted = [fixedSlots]string{slotStatus: "http.response.status_code", slotScheme: "url.scheme", slotURL: "url.full"}

// attributeField gives the field of an attribute as the protocol says it; nil if there are too many.
func (s *Settings) attributeField(name string) *field {
	if f := s.fields[name]; f != nil {
		return f
	}
	slot := len(s.fields)
	number := attribute.Named(name).Number
	if slot == maxSlots || number == 0 {
		return nil
	}
	if int(number) >= len(s.slots) {
		s.slots = append(s.slots, make([]uint8, int(number)+1-len(s.slots))...)
	}
	s.slots[number] = uint8(slot) + 1
	f := &field{name, func(dst []byte, f *facts) []byte { return appendValue(dst, f.found[slot]) }}
	s.fields[name] = f
	return f
}

// appendValue appends the value of an attribute of the exchange.
func appendValue(dst []byte, a *attribute.Attribute) []byte {
	if a == nil {
		return append(dst, absent)
	}
	switch a.Kind {
	case attribute.Text:
		return appendText(dst, a.Bytes)
	case attribute.Number:
		return appendNumber(dst, a.Bits)
	case attribute.Yes:
		if a.Bits == 0 {
			return append(dst, aNo)
		}
		return append(dst, aYes)
	case attribute.Real:
		var b [32]byte
		return appendText(dst, strconv.AppendFloat(b[:0], a.Real(), 'g', -1, 64))
	case attribute.Texts:
		var texts [][]byte
		attribute.Each(a.Bytes, func(text []byte) { texts = append(texts, text) })
		return appendText(dst, bytes.Join(texts, []byte(",")))
	case attribute.None:
	}
	return append(dst, absent)
}

// pathFields are what the path, and the URL that it is part of, tell.
var pathFields = []field{
	{"http.route", func(dst []byte, f *facts) []byte {
		if f.client {
			return append(dst, absent)
		}
		return appendText(dst, f.route)
	}},
	{"url.template", func(dst []byte, f *facts) []byte {
		if !f.client {
			return append(dst, absent)
		}
		return appendText(dst, f.route)
	}},
	{"url.path", func(dst []byte, f *facts) []byte { return appendText(dst, f.path) }},
	// At a client the scheme is not part of the span: it is that of the whole URL.
	{"url.scheme", func(dst []byte, f *facts) []byte {
		if a := f.found[slotScheme]; a != nil || f.kind != kindHTTP {
			return appendValue(dst, a)
		}
		if a := f.found[slotURL]; a != nil {
			if scheme, _, found := bytes.Cut(a.Bytes, []byte("://")); found {
				return appendText(dst, scheme)
			}
		}
		return appendText(dst, "http")
	}},
}
