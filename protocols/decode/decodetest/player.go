package decodetest

import (
	"bytes"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/snapshot"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/protocols/edge/edgetest"
)

// player reads events with one parser. It is the parser's sink.
type player struct {
	*Kit
	t       *testing.T
	name    string
	streams [2]*stream.Stream // of the client, of the server
	conn    *decode.Conn
	parser  decode.Parser
	node    edgetest.Node
	dropped [2][]bool
	now     int64
	live    map[*decode.Exchange]bool
	ended   []ended
}

// pieceTime is how far apart pieces are, ns.
const pieceTime = int64(1e6)

// run reads events; with restart, the state is saved and read back before each.
func (w *way) run(name string, list []event, restart bool) *player {
	p := &player{Kit: w.Kit, t: w.t, name: name, live: map[*decode.Exchange]bool{}, streams: [2]*stream.Stream{{}, {}}}
	joined := len(list) > 0 && list[0].piece != 1
	if joined {
		for _, e := range list {
			p.streams[e.From-protocols.Client].StartAt(e.Offset)
		}
	}
	for _, s := range p.streams {
		s.StartAt(0)
		s.Joined = joined
	}
	if w.Edge != nil && w.Decode.New != nil {
		p.node = edgetest.Follow(w.Edge, &w.Rules)(joined, protocols.Client)
	}
	p.dropped = w.dropped()
	p.connect()
	p.conn.Attach()
	p.parser = w.newParser()
	for _, e := range list {
		if restart {
			p.restart()
		}
		if !p.push(e) {
			break
		}
	}
	if p.parser != nil {
		p.now += pieceTime
		if p.parser.Parse(p.conn, decode.Ended) == decode.GiveUp {
			p.conn.Drop()
		}
	}
	if d, ok := p.parser.(decode.Datagrams); ok {
		p.conn.Each(func(x *decode.Exchange) { d.Unanswered(p.conn, x) })
	}
	p.conn.FinishAll(decode.Closed, p.now)
	if len(p.live) > 0 {
		w.fail("%s: %d exchanges were never finished", name, len(p.live))
	}
	return p
}

// newParser makes a parser, of datagrams if the protocol has no other.
func (k *Kit) newParser() decode.Parser {
	if k.Decode.New == nil {
		return decode.Datagrams{DatagramParser: k.Decode.NewDatagram(k.Options)}
	}
	return k.Decode.New(k.Options)
}

// connect makes the connection of the streams.
func (p *player) connect() {
	p.conn = &decode.Conn{Requests: p.streams[0], Responses: p.streams[1], Order: p.Known.Order, Client: p.Client, Sink: p}
}

// dropped says which bytes are of texts that do not leave the node.
func (w *way) dropped() (masks [2][]bool) {
	client, server := w.c.Streams()
	for i, all := range [2]string{client, server} {
		masks[i] = make([]bool, len(all))
		for _, text := range w.Dropped {
			for at := 0; ; {
				n := bytes.Index([]byte(all[at:]), []byte(text))
				if n < 0 {
					break
				}
				for k := range len(text) {
					masks[i][at+n+k] = true
				}
				at += n + len(text)
			}
		}
	}
	return masks
}

// push passes an event to the parser. It reports whether to go on.
func (p *player) push(e event) bool {
	p.now = int64(e.piece) * pieceTime
	from := e.From - protocols.Client
	move := stream.Event{Offset: e.Offset, Length: e.Length, Meta: stream.Meta{Begin: p.now, End: p.now}}
	e.Bytes = bytes.Clone(e.Bytes) // the node writes into them
	move.Unreadable = e.Segments != nil
	if p.node != nil {
		for _, kept := range p.node.Pass(&e.Event) {
			move.Payload, move.Restated, move.Restatements = kept.Bytes, kept.Restated, kept.Restatements
			for _, s := range kept.Segments {
				move.Segments = append(move.Segments, s.At, s.Length)
			}
		}
	} else {
		for i, b := range e.Bytes {
			if p.dropped[from][e.Offset+uint64(i)] {
				continue
			}
			if n := len(move.Segments); n > 0 && move.Segments[n-2]+move.Segments[n-1] == uint32(i) {
				move.Segments[n-1]++
			} else {
				move.Segments = append(move.Segments, uint32(i), 1)
			}
			move.Payload = append(move.Payload, b)
		}
	}
	var status decode.Status
	if d, ok := p.parser.(decode.Datagrams); ok {
		status = d.Push(p.conn, e.From, &move)
	} else {
		s := p.streams[from]
		s.Push(&move)
		s.GiveUpGaps()
		status = p.parser.Parse(p.conn, decode.Open)
	}
	switch status {
	case decode.GiveUp:
		p.conn.Drop()
		p.parser = nil
		return false
	case decode.Opaque:
		p.conn.FinishAll(decode.Closed, p.now)
		p.parser = nil
		return false
	default:
	}
	for _, s := range p.streams {
		s.Settle()
	}
	return true
}

// restart saves everything and reads it back.
func (p *player) restart() {
	p.t.Helper()
	save := func() []byte {
		w := &snapshot.Writer{}
		for _, s := range p.streams {
			s.AppendState(w)
		}
		p.conn.AppendState(w)
		before := len(w.B)
		p.parser.AppendState(p.conn, w)
		if n := len(w.B) - before; n > p.parser.Held()+400 {
			p.t.Errorf("%s: the parser holds %d bytes, and says %d", p.name, n, p.parser.Held())
		}
		return w.B
	}
	saved := save()
	clear(p.live)
	r := snapshot.NewReader(saved)
	for _, s := range p.streams {
		s.RestoreState(r, SnapshotVersion)
	}
	p.connect()
	p.conn.RestoreState(r, SnapshotVersion, nil)
	p.parser = p.newParser()
	if p.parser.RestoreState(p.conn, p.Decode.StateVersion, r); !r.Done() {
		p.t.Fatalf("%s: the state does not come back: %v", p.name, r.Err())
	}
	if again := save(); !bytes.Equal(again, saved) {
		p.t.Fatalf("%s: the state is another when it comes back", p.name)
	}
}

// SnapshotVersion is that of the decoder's snapshots of today.
const SnapshotVersion = 14

// New implements [decode.Sink].
func (p *player) New() *decode.Exchange {
	x := &decode.Exchange{}
	p.live[x] = true
	return x
}

// Started implements [decode.Sink].
func (p *player) Started(*decode.Conn, *decode.Exchange) {}

// Responded implements [decode.Sink].
func (p *player) Responded(*decode.Conn, *decode.Exchange) {}

// Finished implements [decode.Sink].
func (p *player) Finished(_ *decode.Conn, x *decode.Exchange) {
	p.t.Helper()
	if !p.live[x] && !x.Ignore {
		p.t.Errorf("%s: an exchange was finished twice", p.name)
	}
	delete(p.live, x)
	if !x.Ignore {
		if p.Decode.Conclude != nil {
			p.Decode.Conclude(x, decode.Place{Client: p.Client, RemoteAddress: []byte{10, 0, 0, 9}, RemotePort: 8080})
		}
		p.ended = append(p.ended, describe(x))
	}
}

// Free implements [decode.Sink].
func (p *player) Free(*decode.Exchange) {}
