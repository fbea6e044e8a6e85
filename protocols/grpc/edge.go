package grpc

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
)

// Protocol is gRPC. It has no first bytes of its own: it is spoken in exchanges of HTTP.
var Protocol = protocols.Protocol{Number: Number, Name: "grpc"}

// HeaderStatus is the header field by which a response without trailers says how the call ended.
const HeaderStatus = "grpc-status"

// Edge is the node's half of gRPC-Web over HTTP/1. Of bodies the prefixes of messages leave the node, and of trailers
// the status.
var Edge = edge.Layer{
	Protocol: &Protocol,
	Headers:  []edge.LayerHeader{{Name: HeaderStatus, Screen: edge.All(isStatus)}},
	Body: &edge.LayerBody{
		Target: func(method, _ []byte) bool { return string(method) == "POST" },
		Type:   func(contentType []byte) uint8 { return uint8(WebForm(contentType)) },
		Reader: func(form uint8, _ bool) edge.BodyReader { return NewReader(Form(form)) },
		Always: true,
	},
}

func isStatus(value []byte) bool {
	for _, c := range value {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(value) > 0 && len(value) <= 3
}

// NewReader makes a reader of a body of gRPC-Web.
func NewReader(form Form) edge.BodyReader { return &reader{messages: Web{Form: form}} }

type reader struct {
	messages Web
	// Where the piece that is being read lies.
	writer *edge.Writer
	at     int
	// packed is what has come of trailers that are compressed.
	packed []byte
}

// Read implements [edge.BodyReader].
func (r *reader) Read(b []byte, at int, w *edge.Writer) {
	r.writer, r.at = w, at
	if r.messages.Form == Text {
		r.messages.text(b, r.write)
	} else {
		r.binary(b)
	}
	r.writer = nil
}

// binary reads bytes of messages.
func (r *reader) binary(b []byte) {
	m := &r.messages
	for i := 0; i < len(b) && !m.Lost; {
		if m.packs && m.have == PrefixSize {
			i += r.unpack(b[i:], i)
			continue
		}
		if n := m.dull(len(b) - i); n > 0 {
			i += n
			continue
		}
		if m.step(b[i]) {
			r.keep(i, i+1)
		}
		i++
	}
}

// Bounds of compressed trailers, and of what they hold.
const maxPacked, maxTrailers = 2 << 10, 8 << 10

// unpack reads bytes of trailers that are compressed (gzip), which begin at an index of the piece. When the last are
// there, the status takes the place of their end. It gives how many bytes it read.
func (r *reader) unpack(b []byte, at int) int {
	m := &r.messages
	n := min(len(b), int(m.left))
	if len(r.packed)+n > maxPacked {
		m.Lost = true
		return len(b)
	}
	r.packed = append(r.packed, b[:n]...)
	if n == int(m.left) {
		if code, ok := statusIn(r.packed); ok {
			said := fmt.Appendf(nil, "%s%03d\n", statusName, code)
			if n >= len(said) {
				r.writer.Fill(r.at+at+n-len(said), r.at+at+n, said)
			}
		}
		r.packed = nil
	}
	m.took(uint32(n))
	return n
}

// statusIn finds the status in trailers that are compressed.
func statusIn(packed []byte) (code uint16, ok bool) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return 0, false
	}
	text := make([]byte, maxTrailers)
	n, err := io.ReadFull(unpacked, text)
	if !errors.Is(err, io.ErrUnexpectedEOF) { // not whole, or too long
		return 0, false
	}
	var l line
	for _, c := range text[:n] {
		l.read(c)
	}
	l.end()
	return l.code, l.known
}

func (r *reader) keep(from, to int)         { r.writer.Keep(r.at+from, r.at+to) }
func (r *reader) write(at int, with []byte) { r.writer.Fill(r.at+at, r.at+at+len(with), with) }

// Skip implements [edge.BodyReader].
func (r *reader) Skip(n uint64) { r.messages.Unknown(n) }

// Over implements [edge.BodyReader].
func (r *reader) Over() bool { return r.messages.Lost }
