package processor

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/rawbatch"
	"millrace.dev/services/decoder/internal/stream"

	"millrace.dev/lib/bus"
)

// Limits of guessing a protocol.
const (
	// maxGuesses is how many events of a direction may look like nothing before the connection is no longer looked at.
	maxGuesses = 32
	// maxAttempts is how many wrong guesses are put up with.
	maxAttempts = 2
)

// connectionKey names one end of a connection. Both ends of a local connection have sockets of their own.
type connectionKey struct{ process, socket uint64 }

type connection struct {
	key           connectionKey
	sendFlow      uint64
	owner         *process
	node          *node
	send, receive stream.Stream
	conn          protocol.Conn
	parser        protocol.Parser
	protocol      millracev1.Protocol
	role          millracev1.Role
	partition     int
	facts         rawbatch.Connection // with memory of its own
	encoded       []byte              // fields of Exchange that are the same for all of the connection
	actors        [2]uint64           // goroutines that acted last, the latest first
	lastActor     stream.Actor

	lastData          int64 // tick time of the last event with bytes, Unix ns
	srtt, retransmits uint32
	guesses           [2]int // events that looked like nothing: sent, received
	attempts          int
	opaque            bool
	suspect           bool // batches of the node were lost while exchanges were open

	ended     bool // end of file was received
	endOffset uint64
	endTime   int64

	closing   protocol.Outcome // 0: not closed
	closedAt  int64
	closeTick uint64
	awaited   bool // is in Processor.waiting
	waitTick  uint64

	next, previous *connection // in the order of use
}

// connectionOf finds or makes the connection end of which facts tell.
func (p *Processor) connectionOf(facts *rawbatch.Connection) *connection {
	key := connectionKey{facts.Process, facts.Socket}
	c := p.connections[key]
	if c != nil && c.sendFlow != facts.SendFlow { // the socket's number came again
		p.remove(c, protocol.Lost, c.node.watermark)
		c = nil
	}
	if c == nil {
		c = p.newConnection(key, facts)
	} else {
		c.unlink()
		if c.role == millracev1.Role_ROLE_UNSPECIFIED {
			c.role = facts.Role
		}
	}
	c.linkAfter(&p.recent)
	return c
}

func (p *Processor) newConnection(key connectionKey, facts *rawbatch.Connection) *connection {
	c := &connection{
		key: key, sendFlow: facts.SendFlow, role: facts.Role, node: p.node,
		partition: bus.ConnectionPartition(facts.SendFlow, p.options.Partitions),
		facts:     *facts,
	}
	c.facts.LocalAddress = clone(facts.LocalAddress)
	c.facts.RemoteAddress = clone(facts.RemoteAddress)
	c.facts.UnixPath = clone(facts.UnixPath)
	c.owner = p.processOf(key.process)
	c.owner.connections++
	if facts.Opened != 0 { // seen from its first byte
		c.send.StartAt(0)
		c.receive.StartAt(0)
	}
	c.conn.Owner, c.conn.Sink = c, (*sink)(p)
	c.conn.Requests, c.conn.Responses = &c.receive, &c.send
	p.connections[key] = c
	p.tally.connections++
	return c
}

func clone(b []byte) []byte { return append([]byte(nil), b...) }

func (c *connection) linkAfter(at *connection) {
	c.previous, c.next = at, at.next
	at.next.previous = c
	at.next = c
}

func (c *connection) unlink() {
	c.previous.next, c.next.previous = c.next, c.previous
	c.next, c.previous = nil, nil
}

// acted takes note of who uses the connection.
func (c *connection) acted(p *Processor, a *stream.Actor, at int64) {
	if *a == c.lastActor {
		return
	}
	c.lastActor = *a
	if a.Goroutine != 0 && a.Goroutine != c.actors[0] {
		c.actors[0], c.actors[1] = a.Goroutine, c.actors[0]
	}
	if a.Process == c.owner.id {
		c.owner.tasks.Saw(a, at)
	} else {
		p.processOf(a.Process).tasks.Saw(a, at)
	}
}

// infer looks for the beginning of a request.
func (p *Processor) infer(c *connection) {
	for i, s := range [2]*stream.Stream{&c.send, &c.receive} {
		client := i == 0
		known := c.role != millracev1.Role_ROLE_UNSPECIFIED
		if known && client != (c.role == millracev1.Role_ROLE_CLIENT) {
			continue
		}
		// What begins a connection is the beginning of a message; anywhere else it has to look like one beyond doubt.
		fresh := s.Offset() == 0 && c.attempts == 0
		for s.Next() != stream.None {
			guess, found := p.look(s, known && fresh)
			if guess == protocol.Request {
				c.attach(found, client, p.options)
				return
			}
			if guess == protocol.Maybe {
				break
			}
			if s.Next() == stream.Bytes {
				c.guesses[i]++
			}
			if known && fresh && s.Next() == stream.Bytes || c.guesses[i] >= maxGuesses {
				count(&p.tally.givenUp, "unknown protocol", 1)
				c.turnOpaque()
				return
			}
			s.SkipToEvent()
			fresh = false
		}
	}
}

// look judges the bytes at the position of s.
func (p *Processor) look(s *stream.Stream, roleKnown bool) (protocol.Guess, *protocol.Protocol) {
	b := s.Bytes()
	if len(b) == 0 || !s.AtEventStart() {
		return protocol.No, nil
	}
	best := protocol.No
	for i := range p.options.Protocols {
		switch p.options.Protocols[i].Look(b, roleKnown) {
		case protocol.Request:
			return protocol.Request, &p.options.Protocols[i]
		case protocol.Maybe:
			best = protocol.Maybe
		case protocol.No:
		}
	}
	if best == protocol.Maybe && s.Cut() {
		return protocol.No, nil // what is missing will not come
	}
	return best, nil
}

func (c *connection) attach(found *protocol.Protocol, client bool, o Options) {
	c.protocol = found.Number
	c.parser = found.New(protocol.Options{KeepStatements: o.KeepStatements})
	c.orient(client)
	if c.conn.Requests.Offset() > 0 || c.attempts > 0 { // something came before, and nothing is known of it
		c.conn.Requests.Joined = true
	}
	c.conn.Attach()
}

// orient fixes which direction carries the requests.
func (c *connection) orient(client bool) {
	c.conn.Client = client
	c.conn.Requests, c.conn.Responses = &c.receive, &c.send
	if client {
		c.conn.Requests, c.conn.Responses = &c.send, &c.receive
	}
	c.encode()
}

// giveUp takes back a wrong guess.
func (p *Processor) giveUp(c *connection) {
	c.conn.Drop()
	c.parser = nil
	c.send.Discard()
	c.receive.Discard()
	if c.attempts++; c.attempts >= maxAttempts {
		count(&p.tally.givenUp, "wrong guess", 1)
		c.turnOpaque()
	}
}

// turnOpaque stops looking at the connection. Its place in the table stays, so that what follows is known to be of no interest.
func (c *connection) turnOpaque() {
	c.opaque, c.parser = true, nil
	c.send, c.receive = stream.Stream{}, stream.Stream{}
}

// noMoreResponses reports whether everything the other end sent was seen, and that it is a client's connection.
func (c *connection) noMoreResponses() bool {
	return c.ended && c.conn.Client && !c.receive.Waiting() && c.receive.Received() >= c.endOffset
}

// evict gives up the least recently used connections while there are too many.
func (p *Processor) evict() {
	for len(p.connections) > p.options.MaxConnections {
		c := p.recent.previous
		count(&p.tally.givenUp, "table full", 1)
		p.remove(c, protocol.Lost, c.node.watermark)
	}
}

// remove ends what is open on the connection and forgets it.
func (p *Processor) remove(c *connection, outcome protocol.Outcome, at int64) {
	if c.parser != nil {
		c.send.GiveUpGaps()
		c.receive.GiveUpGaps()
		ending := protocol.Ended
		if outcome == protocol.Lost {
			ending = protocol.Left
		}
		if c.parser.Parse(&c.conn, ending) == protocol.GiveUp {
			c.conn.Drop()
		}
		c.conn.FinishAll(outcome, at)
		p.tally.lostBytes += c.send.Missing + c.receive.Missing
	}
	c.parser, c.opaque = nil, true
	c.unlink()
	delete(p.connections, c.key)
	c.owner.connections--
	p.tally.connections--
	c.key = connectionKey{} // marks it as removed for the lists that still hold it
	for i := range p.index {
		if p.index[i] == c {
			p.index[i] = nil
		}
	}
}
