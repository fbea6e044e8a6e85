package grpc

import (
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
}

// Read implements [edge.BodyReader].
func (r *reader) Read(b []byte, at int, w *edge.Writer) {
	r.writer, r.at = w, at
	if r.messages.Form == Text {
		r.messages.text(b, r.write)
	} else {
		r.messages.binary(b, r.keep)
	}
	r.writer = nil
}

func (r *reader) keep(from, to int)         { r.writer.Keep(r.at+from, r.at+to) }
func (r *reader) write(at int, with []byte) { r.writer.Fill(r.at+at, r.at+at+len(with), with) }

// Skip implements [edge.BodyReader].
func (r *reader) Skip(n uint64) { r.messages.Unknown(n) }

// Over implements [edge.BodyReader].
func (r *reader) Over() bool { return r.messages.Lost }
