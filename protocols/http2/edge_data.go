package http2

import (
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/grpc"
)

// maxMessages bounds the streams of a direction whose messages are followed.
const maxMessages = 4096

// message is where in the messages of a stream its data is.
type message struct {
	have uint8  // bytes of the prefix that have come
	left uint32 // bytes of the message to come, or of its length what has come
}

// follow begins to follow the messages or the body of a stream, if its head says that something of them is needed.
func (d *direction) follow(stream uint32) {
	switch d.block.content {
	case kindGRPC:
		if d.messages == nil {
			d.messages = map[uint32]message{}
		}
		if len(d.messages) < maxMessages {
			d.messages[stream] = message{}
		}
	case kindWeb:
		d.reads(stream, grpc.NewReader(grpc.Binary))
	case kindWebText:
		d.reads(stream, grpc.NewReader(grpc.Text))
	default:
	}
}

func (d *direction) reads(stream uint32, body edge.BodyReader) {
	if d.bodies == nil {
		d.bodies = map[uint32]edge.BodyReader{}
	}
	if len(d.bodies) < maxMessages {
		d.bodies[stream] = body
	}
}

// forget ends what follow began.
func (d *direction) forget(stream uint32) {
	delete(d.messages, stream)
	delete(d.bodies, stream)
}

// body keeps what is needed of a body in b[i:], which is data of the frame without padding.
func (d *direction) body(b []byte, i int, w *edge.Writer) {
	if len(d.bodies) == 0 || i == len(b) {
		return
	}
	if body, ok := d.bodies[d.frame.Stream]; ok {
		if body.Read(b[i:], i, w); body.Over() {
			delete(d.bodies, d.frame.Stream)
		}
	}
}

// skipBody passes over n bytes of data that are not there.
func (d *direction) skipBody(n uint32) {
	if len(d.bodies) == 0 || n == 0 {
		return
	}
	if body, ok := d.bodies[d.frame.Stream]; ok {
		if body.Skip(uint64(n)); body.Over() {
			delete(d.bodies, d.frame.Stream)
		}
	}
}

// data keeps the prefixes of messages in b[i:], which is data of the frame without padding.
func (d *direction) data(b []byte, i int, w *edge.Writer) {
	if len(d.messages) == 0 || i == len(b) {
		return
	}
	m, ok := d.messages[d.frame.Stream]
	if !ok {
		return
	}
	for i < len(b) {
		switch {
		case m.have == grpc.PrefixSize && m.left > 0:
			n := min(int(m.left), len(b)-i)
			m.left -= uint32(n)
			i += n
		case m.have == grpc.PrefixSize:
			m = message{}
		case m.have == 0 && b[i] > 1: // no message of gRPC
			delete(d.messages, d.frame.Stream)
			return
		default:
			if m.have > 0 {
				m.left = m.left<<8 | uint32(b[i])
			}
			w.Keep(i, i+1)
			m.have++
			i++
		}
	}
	d.messages[d.frame.Stream] = m
}

// skipData passes over n bytes of data that are not there.
func (d *direction) skipData(n uint32) {
	m, ok := d.messages[d.frame.Stream]
	switch {
	case !ok || n == 0:
	case m.have == grpc.PrefixSize && m.left >= n:
		m.left -= n
		d.messages[d.frame.Stream] = m
	default: // Where the next message begins is missing.
		delete(d.messages, d.frame.Stream)
	}
}
