package decode

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/websocket"
)

// Attributes of an upgrade to WebSocket, which OpenTelemetry has no names for.
var (
	attrSocketMessages = [2]decode.Name{decode.Attribute("millrace.websocket.client.messages"), decode.Attribute("millrace.websocket.server.messages")}
	attrSocketBytes    = [2]decode.Name{decode.Attribute("millrace.websocket.client.bytes"), decode.Attribute("millrace.websocket.server.bytes")}
	attrSocketCode     = decode.Attribute("millrace.websocket.close_code")
	attrSocketOpen     = decode.Attribute("millrace.websocket.open")
)

// socketBytes is how much a socket takes in a snapshot, at most.
const socketBytes = 300

// socket counts what follows an upgrade to WebSocket on the exchange of the upgrade, whose response has ended. The
// exchange is told when the connection ends, or when both ends have closed it.
type socket struct {
	x    *decode.Exchange
	ways [2]websocket.Reader // of the client, of the server
	// first is the way whose close frame came first, plus 1: its code counts.
	first int
}

// openSocket goes on as WebSocket behind the response to x.
func (p *parser) openSocket(c *decode.Conn, x *decode.Exchange) {
	p.layers.Ended(x, c.Client)
	c.Prolong(x)
	p.socket = &socket{x: x, ways: [2]websocket.Reader{{From: protocols.Client}, {From: protocols.Server}}}
	p.req, p.resp, p.switched = side{}, side{}, true
}

// parse takes what has come.
func (k *socket) parse(c *decode.Conn, ending decode.Ending) decode.Status {
	if c.Index(k.x) == 0 {
		return decode.Opaque // it was ended otherwise
	}
	for i, s := range [2]*stream.Stream{c.Requests, c.Responses} {
		read(s, &k.ways[i])
		if k.ways[i].Closed && k.first == 0 {
			k.first = i + 1
		}
	}
	over := k.ways[0].Over() && k.ways[1].Over()
	if ending != decode.Open || over {
		k.say(c, ending == decode.Left && !over)
	}
	if over {
		c.EndProlonged(k.x)
		return decode.Opaque
	}
	return decode.Continue
}

// read reads the frames that have come of a direction.
func read(s *stream.Stream, r *websocket.Reader) {
	for s.Next() != stream.None {
		if r.Over() {
			s.Discard()
			return
		}
		left, inside := r.Inside()
		needs, b := r.Needs(), s.Bytes()
		switch {
		case needs > 0 && len(b) > 0:
			s.Skip(uint64(r.Read(b[:min(len(b), needs)])))
		case inside:
			r.Skip(s.Skip(min(left, s.Run())))
		default: // a header that is not there
			r.Broken = true
		}
	}
}

// say writes what was counted so far. open says that more may come.
func (k *socket) say(c *decode.Conn, open bool) {
	a := &k.x.Said.Attributes
	a.Drop(attrSocketOpen)
	a.Drop(attrSocketCode)
	for i := range k.ways {
		r := &k.ways[i]
		a.Drop(attrSocketMessages[i])
		a.Drop(attrSocketBytes[i])
		if r.Broken { // what came behind the frame that is none is not known
			k.x.Estimated = true
			continue
		}
		a.Number(attrSocketMessages[i], int64(r.Messages))
		a.Number(attrSocketBytes[i], int64(r.Bytes))
	}
	if k.first > 0 && k.ways[k.first-1].Code != 0 {
		a.Number(attrSocketCode, int64(k.ways[k.first-1].Code))
	}
	if open {
		a.Yes(attrSocketOpen)
	}
	k.x.LostBytes += c.Requests.TakeLost() + c.Responses.TakeLost()
}

func (k *socket) appendState(c *decode.Conn, w *snapshot.Writer) {
	w.Uint(uint64(c.Index(k.x)))
	w.Uint(uint64(k.first))
	for i := range k.ways {
		for _, v := range k.ways[i].Export() {
			w.Uint(v)
		}
	}
}

func restoreSocket(c *decode.Conn, r *snapshot.Reader) *socket {
	k := &socket{x: c.At(int(r.Uint())), first: int(r.Uint())}
	for i := range k.ways {
		var state websocket.State
		for j := range state {
			state[j] = r.Uint()
		}
		if !k.ways[i].Import(state) {
			r.Fail()
		}
	}
	if k.x == nil || !k.x.IsProlonged() || k.first < 0 || k.first > 2 {
		r.Fail()
	}
	return k
}
