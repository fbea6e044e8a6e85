package http1

import (
	"bytes"
	"math/bits"

	"millrace.dev/protocols/edge"
)

// What of bodies leaves the node is what a layer asks for by the head of the request and the Content-Type of the
// response. A head of which a line is cut by the end of an event, or one with a Content-Encoding, asks for nothing;
// nothing is kept of a response once heads of its connection were missed.

// post is a request line whose target is not known, because the line is cut: Go's server reads the first byte of a
// request by itself.
var post = []byte("POST ")

// ask finds the layers that may want the body of a request, by its request line.
func (r *rules) ask(d *direction, line []byte) {
	if len(r.bodies) == 0 {
		return
	}
	method, rest, _ := bytes.Cut(line, []byte{' '})
	target, _, _ := bytes.Cut(rest, []byte{' '})
	for i, layer := range r.bodies {
		if layer.Target(method, target) {
			d.asks |= 1 << i
		}
	}
}

// bodyHeader reads a header field that says what the body is. Of the layers that may want it the first is asked that
// knows the Content-Type.
func (r *rules) bodyHeader(d *direction, name, value []byte) {
	switch {
	case equalFold(name, "content-encoding"):
		d.encoded = d.encoded || !equalFold(bytes.TrimSpace(value), "identity")
	case equalFold(name, "content-type"):
		value = bytes.TrimSpace(value)
		for i, layer := range r.bodies {
			if d.asks>>i&1 == 0 {
				continue
			}
			if d.form = layer.Type(value); d.form != 0 {
				d.asks = 1 << i
				return
			}
		}
	}
}

// asked gives the layer that wants the body of the message, nil if there is none.
func (r *rules) asked(d *direction) *edge.LayerBody {
	if d.form == 0 || d.asks == 0 || d.encoded || d.malformed {
		return nil
	}
	return r.bodies[bits.TrailingZeros32(d.asks)]
}

// begin begins the body of a request.
func (r *rules) begin(s *scanner, d *direction) {
	if layer := r.asked(d); layer != nil {
		d.body = layer.Open(d.form, false)
		s.pending.ask(uint8(bits.TrailingZeros32(d.asks)) + 1)
	}
}

// beginAnswer begins the body of the response to a request that a layer asked for.
func (r *rules) beginAnswer(s *scanner, d *direction) {
	if layer := r.asked(d); layer != nil && !s.doubt && !d.guess && !d.halved {
		d.body = layer.Open(d.form, true)
	}
}

// readBody reads a part of a body, which begins at an index of the bytes of the call.
func (r *rules) readBody(d *direction, b []byte, at int) {
	if d.body.Read(b, at, r.out); d.body.Over() {
		d.body = nil
	}
}

// skipBody passes over n bytes of a body that are not there.
func (d *direction) skipBody(n uint64) {
	if d.body == nil {
		return
	}
	if d.body.Skip(n); d.body.Over() {
		d.body = nil
	}
}
