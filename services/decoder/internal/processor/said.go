package processor

import (
	"bytes"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/protocols/decode"
)

// describe appends to the arena what the protocol of x says, but for the attributes. It reports whether these belong to
// it.
func (w *worker) describe(c *connection, x *decode.Exchange) (attributes bool) {
	if p := w.options.protocol(c.protocol); p != nil {
		if p.Conclude != nil {
			p.Conclude(x, decode.Place{Client: c.conn.Asks(x), RemoteAddress: c.facts.RemoteAddress, RemotePort: c.facts.RemotePort})
		}
		if w.options.Details && p.Detail != nil {
			w.detail = p.Detail.Append(w.detail[:0], x)
			w.arena = appendBytes(w.arena, protowire.Number(p.Detail.Field), w.detail)
			if x.Said.Protocol == 0 {
				return false
			}
		}
	}
	w.arena = appendSaid(w.arena, &x.Said)
	return true
}

// appendSaid writes what the protocol says of an exchange, but for its attributes. A protocol that is not that of the
// connection is written a second time: readers of protobuf take the last.
func appendSaid(b []byte, s *decode.Said) []byte {
	b = appendNumber(b, 3, uint64(s.Protocol))
	b = appendNumber(b, 32, uint64(s.Family))
	b = appendNumber(b, 33, uint64(s.Kind))
	b = appendText(b, 34, s.Operation)
	b = appendText(b, 35, s.ErrorType)
	b = appendText(b, 36, s.ErrorMessage)
	b = appendText(b, 37, s.Path)
	b = appendText(b, 38, s.ServerName)
	b = appendNumber(b, 39, uint64(s.ServerPort))
	for i := range s.Links[:min(len(s.Links), decode.MaxLinks)] {
		b = appendContext(b, 48, &s.Links[i])
	}
	return b
}

// appendText appends a text, cut to the length of one: one that is empty is left out, and bytes that are no UTF-8,
// which protobuf does not take, become U+FFFD.
func appendText(b []byte, field protowire.Number, text []byte) []byte {
	if text = text[:decode.Cut(text, decode.MaxText)]; len(text) == 0 {
		return b
	}
	if !utf8.Valid(text) {
		text = bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	return appendBytes(b, field, text)
}

// nameTable gives the names of attributes in one message their numbers, in the order of their first use.
type nameTable struct {
	names []decode.Name
	index []uint16 // by name, 1 more than its number; 0: it has none
}

// add gives a name the next number. It gives the index, which may be a new one.
func (t *nameTable) add(n decode.Name) []uint16 {
	if int(n) >= len(t.index) {
		t.index = append(t.index, make([]uint16, int(n)+1-len(t.index))...)
	}
	t.names = append(t.names, n)
	t.index[n] = uint16(len(t.names))
	return t.index
}

// encodedNames are names as fields of an ExchangeBatch, by name; nil: not encoded yet.
type encodedNames [][]byte

// append writes the names of a message that is complete, and empties the table for the next.
func (e *encodedNames) append(message []byte, t *nameTable) []byte {
	for _, n := range t.names {
		for int(n) >= len(*e) {
			*e = append(*e, nil)
		}
		if (*e)[n] == nil {
			(*e)[n] = appendBytes(nil, 4, []byte(n.String()))
		}
		message = append(message, (*e)[n]...)
		t.index[n] = 0
	}
	t.names = t.names[:0]
	return message
}
