package join

import (
	"millrace.dev/lib/wire"
	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// readSaid reads a field of what the protocol says of the exchange; it reports whether the field is well formed.
func (v *view) readSaid(f *wire.Field, names *attribute.Names) bool {
	x := &v.x
	switch f.ID<<3 | uint32(f.Type) {
	case 32<<3 | wire.Varint:
		x.Family = millracev1.Family(f.Number)
	case 33<<3 | wire.Varint:
		x.Kind = millracev1.SpanKind(f.Number)
	case 34<<3 | wire.Length:
		x.Operation = alias(f.Bytes)
	case 35<<3 | wire.Length:
		x.ErrorType = alias(f.Bytes)
	case 36<<3 | wire.Length:
		x.ErrorMessage = alias(f.Bytes)
	case 37<<3 | wire.Length:
		x.Path = alias(f.Bytes)
	case 38<<3 | wire.Length:
		x.ServerName = alias(f.Bytes)
	case 39<<3 | wire.Varint:
		x.ServerPort = uint32(f.Number)
	case 40<<3 | wire.Length:
		v.readAttribute(f.Bytes, names)
	case 48<<3 | wire.Length:
		return v.readLink(f.Bytes)
	}
	return true
}

func (v *view) readAttribute(m []byte, names *attribute.Names) {
	n := len(v.attributes)
	if n == maxAttributes {
		v.malformed++
		return
	}
	if n == cap(v.attributes) {
		v.attributes = append(v.attributes, attribute.Attribute{})
	} else {
		v.attributes = v.attributes[:n+1]
	}
	if !v.attributes[n].Read(m, names) {
		v.malformed++
		v.attributes = v.attributes[:n]
	}
}

func (v *view) readLink(m []byte) bool {
	n := len(v.x.Links)
	if n == maxLinks {
		v.malformed++
		return true
	}
	if v.links == nil { // Few exchanges have any.
		v.links, v.linked = make([]millracev1.TraceContext, maxLinks), make([]*millracev1.TraceContext, maxLinks)
		for i := range v.links {
			v.linked[i] = &v.links[i]
		}
	}
	v.links[n].Reset()
	v.x.Links = v.linked[:n+1]
	return readContext(&v.links[n], m)
}

// convert gives an exchange that has a detail the form of all others.
func (v *view) convert() { v.attributes = v.details.Append(v.attributes, &v.x) }
