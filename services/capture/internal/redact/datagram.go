package redact

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/edge"
	"millrace.dev/services/capture/internal/kernel"
)

// datagram redacts an event of a pair of a socket and a remote address that exchange datagrams. Each datagram is judged
// by itself, whole; what is none of a protocol that is decoded does not leave, and ends the pair. pass says whether ev
// may leave the node.
func (r *Redactor) datagram(c *Connection, ev *kernel.Event) (pass bool) {
	if ev.Kind != kernel.Send && ev.Kind != kernel.Receive {
		ev.Payload, ev.Segments = nil, nil
		return true
	}
	from := protocols.Client
	if (ev.Connection.Role == millracev1.Role_ROLE_CLIENT) != (ev.Kind == kernel.Send) {
		from = protocols.Server
	}
	cause := CauseUnknown
	if c.taken != nil {
		cause = CauseBroken
	}
	room := r.spoken(c, ev.Payload, from)
	if room == nil || room.datagrams.Datagram(from, ev.Payload, r.begun(ev)) != edge.Following {
		ev.Payload, ev.Segments = nil, nil
		c.giveUp(cause)
		return false
	}
	if r.out.Blanked() {
		ev.Flags |= FlagRedacted
	}
	r.finish(ev)
	return true
}

// spoken gives the room of the protocol of a datagram; nil if there is none, or it is not that of the pair.
func (r *Redactor) spoken(c *Connection, b []byte, from protocols.End) *room {
	for i := range r.datagrams {
		room := &r.datagrams[i]
		if len(b) > 0 && (c.taken == nil || c.taken == room.Protocol) && room.Protocol.Datagram(b, from) == protocols.Sure {
			c.taken = room.Protocol
			return room
		}
	}
	return nil
}

// begun prepares the writer for ev.
func (r *Redactor) begun(ev *kernel.Event) *edge.Writer {
	r.out.Start(ev.Payload)
	r.out.Run(0, 0)
	return &r.out
}
