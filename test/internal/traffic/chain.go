package traffic

import (
	"fmt"
	"math/rand/v2"
	"time"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// happening is an event before it is in a batch.
type happening struct {
	at    int64 // nanoseconds since the Unix epoch
	end   *end
	event *millracev1.Event
}

// chain is one line of connections through a lane, used by one thread in each process.
type chain struct {
	rng                       *rand.Rand
	load                      *Load
	lane                      int
	number                    int
	front, shop, stock, redis *process
	thread                    uint32
	clock                     int64 // when the next thing happens
	requests                  int
	ends                      [6]*end // front-shop, shop-stock, shop-redis: client's and server's
	queue                     []happening
}

const (
	// Requests on one connection before it is closed and another made.
	requestsPerConnection = 40
	// Of so many requests one takes longer than the hold time of the enricher.
	slowRequests = 50
)

// advance makes what happens before until, as far as nothing is left of what was made before.
func (c *chain) advance(until int64, begin bool) {
	for begin && len(c.queue) == 0 && c.clock < until {
		if c.requests%requestsPerConnection == 0 {
			c.reconnect()
		}
		c.requests++
		c.trace()
		c.clock += c.load.pause(c.rng)
	}
}

func (c *chain) reconnect() {
	for _, e := range c.ends {
		if e != nil {
			c.add(e, &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_CLOSE})
		}
	}
	for i, pair := range [][2]*process{{c.front, c.shop}, {c.shop, c.stock}, {c.shop, c.redis}} {
		c.ends[2*i], c.ends[2*i+1] = dial(c.rng, pair[0], pair[1], c.clock)
		c.add(c.ends[2*i], &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_OPEN})
		c.add(c.ends[2*i+1], &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_OPEN})
	}
}

func (c *chain) add(e *end, ev *millracev1.Event) {
	ev.TimeNs, ev.Thread = uint64(c.clock-e.process.node.offset), c.thread
	c.queue = append(c.queue, happening{c.clock, e, ev})
	c.clock += 1000 + c.rng.Int64N(20_000)
}

// waited is how long each message is at its receiver's socket before it is read, ns.
const waited = 700

// pass moves a message from one end to the other and gives when its sending began, when it returned, and when the
// message was received.
func (c *chain) pass(from, to *end, message string) (began, sent, received int64) {
	duration := 1000 + c.rng.Int64N(5000)
	began = c.clock
	c.clock += duration // A thread does one thing at a time: what it did before ended before this began.
	sent = c.clock
	c.add(from, &millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_SEND, Offset: from.sent, Length: uint32(len(message)), Payload: []byte(message),
		DurationNs: uint64(duration),
	})
	from.sent += uint64(len(message))
	received = c.clock
	c.add(to, &millracev1.Event{
		Kind: millracev1.EventKind_EVENT_KIND_RECEIVE, Offset: to.received, Length: uint32(len(message)), Payload: []byte(message),
		FirstByteWaitedNs: waited, LastByteWaitedNs: waited,
	})
	to.received += uint64(len(message))
	return began, sent, received
}

// think lets time pass in a process.
func (c *chain) think() {
	took := c.rng.Int64N(int64(10 * time.Millisecond))
	if c.rng.IntN(slowRequests) == 0 {
		took += int64(2*time.Second) + c.rng.Int64N(int64(2*time.Second))
	}
	c.clock += took
}

// call is one exchange of a trace: both spans of it. serve is what the server does before it answers.
func (c *chain) call(client, server *end, trace, parent string, name, target, ask string, serve func(trace, span string) (answer string, status int)) {
	key := identity.Key{Flow: client.facts.SendFlow, Offset: client.sent}
	if trace == "" {
		id := identity.Trace(key)
		trace = fmt.Sprintf("%x", id[:])
	}
	s := [2]Span{{
		Trace: trace, ID: spanID(key, millracev1.Side_SIDE_CLIENT), Parent: parent, Kind: Client, Name: name, Target: target,
		Service: client.process.service, Peer: server.process.service, PID: int(client.process.facts.Pid),
	}, {
		Trace: trace, ID: spanID(key, millracev1.Side_SIDE_SERVER), Parent: spanID(key, millracev1.Side_SIDE_CLIENT), Kind: Server, Name: name,
		Target: target, Service: server.process.service, Peer: client.process.service, PID: int(server.process.facts.Pid),
	}}
	var asked int64
	s[0].Start, asked, s[1].Start = c.pass(client, server, ask)
	answer, status := serve(trace, s[1].ID)
	_, s[1].End, s[0].End = c.pass(server, client, answer)
	s[0].Network = s[0].End - asked - (s[1].End - s[1].Start) - 2*waited
	s[1].Queue = waited
	for i := range s {
		s[i].Status = status
		c.load.truth.add(s[i])
	}
}

// trace makes one request and what it causes.
func (c *chain) trace() {
	n := fmt.Sprintf("%d/%d/%d", c.lane, c.number, c.requests)
	c.call(c.ends[0], c.ends[1], "", "", "GET", "/order/"+n, c.get("/order/"+n), func(trace, serving string) (string, int) {
		c.think()
		status := 200
		if c.rng.IntN(10) == 0 {
			status = 503
		}
		c.call(c.ends[2], c.ends[3], trace, serving, "GET", "/stock/"+n, c.get("/stock/"+n), func(string, string) (string, int) {
			c.think()
			return response(status, c.rng.IntN(100)), status
		})
		c.think()
		ask := fmt.Sprintf("*2\r\n$3\r\nGET\r\n$%d\r\nk:%s\r\n", len(n)+2, n)
		c.call(c.ends[4], c.ends[5], trace, serving, "GET", "", ask, func(string, string) (string, int) { return "$1\r\nv\r\n", 0 })
		return response(status, c.rng.IntN(100)), status
	})
}

func (c *chain) get(path string) string {
	target := path
	if c.load.query > 0 {
		query := make([]byte, c.load.query)
		for i := range query {
			query[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"[c.rng.IntN(64)]
		}
		target += "?" + string(query)
	}
	return "GET " + target + " HTTP/1.1\r\nHost: chaos.test\r\n\r\n"
}

func response(status, body int) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, body, make([]byte, body))
}
