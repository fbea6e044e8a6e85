package processor

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/stream"
	"millrace.dev/services/decoder/internal/rawbatch"

	"millrace.dev/lib/bus"
)

// connectionKey names one end of a connection. Both ends of a local connection have sockets of their own.
type connectionKey struct{ process, socket uint64 }

type connection struct {
	key           connectionKey
	sendFlow      uint64
	owner         *process
	node          *node
	send, receive stream.Stream
	conn          decode.Conn
	parser        decode.Parser
	protocol      millracev1.Protocol
	role          millracev1.Role
	partition     int
	facts         rawbatch.Connection // with memory of its own
	encoded       []byte              // fields of Exchange that are the same for all of the connection
	encodedAsked  []byte              // and those that only exchanges have that the other end began
	actors        [2]uint64           // goroutines that acted last, the latest first
	lastActor     stream.Actor

	lastData          int64 // the stream's time at the last event with bytes, Unix ns
	srtt, retransmits uint32
	preface           preface
	guesses           [2]int // events that looked like nothing: sent, received
	attempts          int
	opaque            bool
	doubtful          bool      // there is an exchange with DoubtAt
	called            bool      // this end has begun an exchange
	callers           [2]uint64 // tasks that began exchanges on a connection whose order is ByID, the latest first

	ended     bool // end of file was received
	endOffset uint64
	endTime   int64

	closing   decode.Outcome // 0: not closed
	closedAt  int64
	closeTick uint64
	awaited   bool // is in Processor.waiting
	waitTick  uint64

	held int // see measure

	// The chain of items of the round that wait for the connection.
	first, last, items int32

	next, previous *connection // in the order of use
}

// connectionOf finds or makes the connection end that facts describe.
func (p *Processor) connectionOf(facts *rawbatch.Connection) *connection {
	key := connectionKey{facts.Process, facts.Socket}
	c := p.connections[key]
	if c != nil && c.sendFlow != facts.SendFlow { // the socket's number came again
		p.run()
		p.remove(c, decode.Lost, untilNow)
		c = nil
	}
	if c == nil {
		c = p.newConnection(key, facts)
	} else {
		c.unlink()
		if c.role == millracev1.Role_ROLE_UNSPECIFIED && facts.Role != c.role {
			p.run() // what came before was said without it
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
	c.node.connections++
	if facts.Opened != 0 { // seen from its first byte
		c.send.StartAt(0)
		c.receive.StartAt(0)
	}
	c.conn.Owner = c
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

// acted takes note of who uses the connection. It reports whether it is another than the last time.
func (c *connection) acted(a *stream.Actor) bool {
	if *a == c.lastActor {
		return false
	}
	c.lastActor = *a
	if a.Goroutine != 0 && a.Goroutine != c.actors[0] {
		c.actors[0], c.actors[1] = a.Goroutine, c.actors[0]
	}
	return true
}

// doubt notes that at the stream's time now something was lost that may have been responses to what is open.
func (c *connection) doubt(now int64) {
	byID := c.conn.Order == protocols.ByID
	requests, responses := byID && c.conn.Requests.HasLost(), byID && c.conn.Responses.HasLost()
	c.conn.Each(func(x *decode.Exchange) {
		x.Missed = x.Missed || responses && !x.Pushed || requests && x.Pushed
		if x.DoubtAt == 0 {
			x.DoubtAt, c.doubtful = max(now, 1), true
		}
	})
}

// believe notes that no response to what is open was missed, but where it is known that something was lost.
func (c *connection) believe() {
	c.doubtful = false
	c.conn.Each(func(x *decode.Exchange) {
		if x.Missed {
			c.doubtful = c.doubtful || !x.Reported()
		} else {
			x.DoubtAt = 0
		}
	})
}

func (w *worker) attach(c *connection, found *decode.Protocol, client bool) {
	c.protocol = found.Number
	c.parser = w.options.parserOf(c, found)
	c.orient(client)
	c.conn.Order = w.options.orderOf(found.Number)
	if c.conn.Requests.Offset() > c.preface.length || c.attempts > 0 { // something came before, and nothing is known of it
		c.conn.Requests.Joined = true
	}
	c.conn.Attach()
}

// succeed lets a connection that has left its protocol go on as the one that follows. It reports whether there is one.
func (w *worker) succeed(c *connection) bool {
	s, ok := c.parser.(decode.Successor)
	if !ok {
		return false
	}
	found := w.options.protocol(s.Successor())
	if found == nil {
		return false
	}
	parser := w.options.parserOf(c, found)
	heir, ok := parser.(decode.Heir)
	if !ok {
		return false
	}
	c.protocol, c.parser = found.Number, parser
	heir.Inherit(&c.conn)
	c.encode()
	return true
}

// orient fixes which direction carries the requests.
func (c *connection) orient(client bool) {
	c.conn.Client = client
	c.conn.Requests, c.conn.Responses, c.conn.ClientPort = &c.receive, &c.send, uint16(c.facts.RemotePort)
	if client {
		c.conn.Requests, c.conn.Responses, c.conn.ClientPort = &c.send, &c.receive, uint16(c.facts.LocalPort)
	}
	c.encode()
}

// turnOpaque stops looking at the connection. Its place in the table stays, so that what follows is known to be of no
// interest.
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
	if len(p.connections) <= p.options.MaxConnections {
		return
	}
	p.run()
	for len(p.connections) > p.options.MaxConnections {
		p.evictOne("table full")
	}
}

func (p *Processor) evictOne(reason string) {
	c := p.recent.previous
	count(&p.tally.givenUp, given{reason, c.protocol}, 1)
	p.remove(c, decode.Lost, untilNow)
}

// untilNow stands for the end of an exchange that is only known to last until now.
const untilNow = int64(-1)

// remove ends what is open on the connection, at a node time or untilNow, and forgets it. Nothing of it may be waiting
// in the round.
func (p *Processor) remove(c *connection, outcome decode.Outcome, at int64) {
	if c.parser != nil {
		w := p.seat(c)
		c.send.GiveUpGaps()
		c.receive.GiveUpGaps()
		ending := decode.Ended
		if outcome == decode.Lost {
			ending = decode.Left
		}
		if c.parser.Parse(&c.conn, ending) == decode.GiveUp {
			c.conn.Drop()
		}
		if d, ok := c.parser.(decode.Datagrams); ok && outcome != decode.Lost {
			c.conn.Each(func(x *decode.Exchange) { d.Unanswered(&c.conn, x) })
		}
		for x := c.conn.Oldest(); x != nil; x = c.conn.Oldest() {
			end := at
			if at == untilNow {
				end = p.untilNow(x)
			}
			c.conn.Abandon(x, outcome, end)
		}
		w.tally.lostBytes += c.send.Missing + c.receive.Missing
		p.unseat(w)
	} else if outcome != decode.Lost && !c.opaque && (c.send.Received() > 0 || c.receive.Received() > 0) {
		count(&p.tally.givenUp, given{"ended", 0}, 1) // before it was known what it speaks
	}
	c.parser, c.opaque = nil, true
	p.held -= c.held // the round's workers have nothing more to say of it
	c.unlink()
	delete(p.connections, c.key)
	c.owner.connections--
	c.node.connections--
	p.tally.connections--
	c.key = connectionKey{} // marks it as removed for the lists that still hold it
	for i := range p.index {
		if p.index[i] == c {
			p.index[i] = nil
		}
	}
}
