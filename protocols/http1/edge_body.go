package http1

import (
	"bytes"

	"millrace.dev/protocols/excerpt"
)

// What of bodies leaves the node: the places of a JSON text that a layer asks for, by the head of the request and the
// Content-Type of the response. A head of which a line is cut by the end of an event, or one with a Content-Encoding,
// asks for nothing; nothing is kept of a body behind bytes that are missing, nor of a response once heads of
// its connection were missed.

// ask finds the layer that may want the body of a request, by its request line.
func (r *rules) ask(d *direction, line []byte) {
	if len(r.bodies) == 0 {
		return
	}
	method, rest, _ := bytes.Cut(line, []byte{' '})
	target, _, _ := bytes.Cut(rest, []byte{' '})
	for i, layer := range r.bodies {
		if layer.Target(method, target) {
			d.asks = uint8(i + 1)
			return
		}
	}
}

// bodyHeader reads a header field that says what the body is.
func (r *rules) bodyHeader(d *direction, name, value []byte) {
	value = bytes.TrimSpace(value)
	switch {
	case equalFold(name, "content-encoding"):
		d.encoded = d.encoded || !equalFold(value, "identity")
	case !equalFold(name, "content-type"):
	case d.response:
		for i, layer := range r.bodies {
			if layer.Type(value) {
				d.types |= 1 << i
			}
		}
	default:
		d.typed = r.bodies[d.asks-1].Type(value)
	}
}

// begin begins the body of a request.
func (r *rules) begin(s *scanner, d *direction) {
	if d.asks == 0 || !d.typed || d.encoded || d.malformed {
		return
	}
	layer := r.bodies[d.asks-1]
	d.follow(r, layer.Request)
	s.pending.ask(d.asks)
}

// beginAnswer begins the body of the response to a request that a layer asked for.
func (r *rules) beginAnswer(s *scanner, d *direction, asks uint8) {
	if asks == 0 || s.doubt || d.guess || d.halved || d.encoded || d.malformed || d.types>>(asks-1)&1 == 0 {
		return
	}
	d.follow(r, r.bodies[asks-1].Response)
}

// follow begins to read a body.
func (d *direction) follow(r *rules, root *excerpt.Node) {
	if root != nil {
		d.body = excerpt.New(root, func(from, to int) { r.out.Keep(d.shift+from, d.shift+to) }, nil)
	}
}

// excerpt reads a part of a body, which begins at an index of the bytes of the call.
func (r *rules) excerpt(d *direction, b []byte, at int) {
	d.shift = at
	if d.body.Read(b); d.body.Over() {
		d.body = nil
	}
}
