package pcap

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket/layers"

	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// joinOffset is the position given to the first byte seen of a connection whose start the capture lacks; it is not
	// 0, so that the decoder knows that something came before.
	joinOffset = 1 << 16
	// maxAhead bounds the segments that wait for one before them; with one more, the gap counts as real.
	maxAhead = 256
	// Bytes that the receiver has acknowledged will not be sent again, but captures of several queues may show an
	// acknowledgement before what it acknowledges: the gap counts as real so much later, or so many segments of the
	// connection later.
	ackedWait     = uint64(200e6) // ns
	ackedSegments = 16
	// flagUnreadable is the bit of Event.flags that says that bytes are missing that were wanted.
	flagUnreadable = 2
)

type flowKey struct {
	from, to netip.AddrPort
	udp      bool
}

// flow is one connection.
type flow struct {
	ends       [2]end // 0: the one that connects
	key        flowKey
	handshake  bool // the SYN was seen
	openedAt   uint64
	socket     uint64
	lastAt     uint64 // time of the last segment
	reset      bool
	closed     bool
	registered [2]*millracev1.Connection
}

// end is what one end sends.
type end struct {
	isn   uint32 // sequence number of the first byte
	known bool
	next  uint64 // offset of the next byte in order
	ahead []segment
	fin   bool
	finAt uint64 // offset behind the last byte
	ended bool   // the end of file was delivered
	// joined: the SYN was not seen.
	joined bool
	// emitted: bytes were handed on, the last of them with the time emittedAt.
	emitted   bool
	emittedAt uint64
	// acked is how far the other end has acknowledged, if that is beyond next; first noticed at ackedAt, ackedFor
	// segments ago.
	acked, ackedAt uint64
	ackedFor       int
}

type segment struct {
	offset  uint64
	length  uint32
	payload []byte
	at      uint64 // when it was seen
	missing bool   // it was not
}

// segment handles one TCP segment with length payload bytes. t.Payload may hold fewer.
func (c *converter) segment(t *layers.TCP, from, to netip.AddrPort, length int) error {
	f, sender, err := c.flowOf(t, from, to)
	if err != nil {
		return err
	}
	if f == nil {
		c.stats.Ignored++
		return nil
	}
	e, peer := &f.ends[sender], &f.ends[1-sender]
	f.lastAt = c.now
	if !e.known {
		e.known, e.isn = true, t.Seq
		if t.SYN {
			e.isn++
		} else {
			e.isn -= joinOffset
			e.next, e.joined = joinOffset, true
		}
	}
	if !peer.known && t.ACK && !t.SYN { // nothing was seen of the other end yet, but this says where it is
		peer.known, peer.isn, peer.next, peer.joined = true, t.Ack-joinOffset, joinOffset, true
	}
	// First what is acknowledged: a response comes after the request that it answers.
	if t.ACK && peer.known {
		peer.acknowledged(peer.offset(t.Ack), c.now)
	}
	for i := range f.ends {
		if err := c.overdue(f, i, false); err != nil {
			return err
		}
	}
	if length > 0 && !t.SYN {
		s := segment{offset: e.offset(t.Seq), length: uint32(length), payload: t.Payload, at: c.now}
		if e.joined && !e.emitted && s.offset == e.next+1 {
			e.next++ // a keep-alive probe, whose sequence number is one too low, was the first that was seen
		}
		if err := c.deliver(f, sender, s); err != nil {
			return err
		}
	}
	if t.FIN && !e.fin {
		e.fin, e.finAt = true, e.offset(t.Seq)+uint64(length)
	}
	if err := c.endOfFile(f, sender); err != nil {
		return err
	}
	if t.RST && !f.reset && !f.closed {
		f.reset = true
		return c.both(f, millracev1.EventKind_EVENT_KIND_RESET)
	}
	return nil
}

// offset gives the position of sequence number seq: the one nearest to what is next.
func (e *end) offset(seq uint32) uint64 {
	delta := int32(seq - e.isn - uint32(e.next))
	return uint64(max(0, int64(e.next)+int64(delta)))
}

// acknowledged takes note of what the other end has received.
func (e *end) acknowledged(offset, now uint64) {
	if offset <= e.next || offset >= e.next+1<<30 || offset <= e.acked {
		return
	}
	if e.acked <= e.next {
		e.ackedAt, e.ackedFor = now, 0
	}
	e.acked = offset
}

// overdue gives up the bytes that were received, but are not in the capture. With final, nothing more will come.
func (c *converter) overdue(f *flow, sender int, final bool) error {
	e := &f.ends[sender]
	for e.acked > e.next {
		later := len(e.ahead) > 0 && e.acked > e.ahead[0].offset // was even seen: no doubt
		if e.ackedFor++; !final && !later && c.now-e.ackedAt < ackedWait && e.ackedFor < ackedSegments {
			return nil
		}
		to, at := e.acked, e.ackedAt
		switch {
		case len(e.ahead) > 0:
			to, at = min(to, e.ahead[0].offset), min(at, e.ahead[0].at)
		case e.fin:
			to = min(to, e.finAt)
		}
		if to <= e.next {
			break
		}
		if to == e.next+1 && len(e.ahead) == 0 {
			return nil // as likely the end of file, which counts as one
		}
		if err := c.miss(f, sender, to, at); err != nil {
			return err
		}
	}
	return nil
}

// miss gives up the bytes up to offset to.
func (c *converter) miss(f *flow, sender int, to, at uint64) error {
	e := &f.ends[sender]
	if e.joined && !e.emitted { // where the stream begins was a guess
		e.next = to
	}
	for e.next < to {
		n := min(to-e.next, 1<<30)
		c.stats.Missing += n
		if err := c.inOrder(f, sender, segment{offset: e.next, length: uint32(n), at: at, missing: true}); err != nil {
			return err
		}
	}
	return c.drain(f, sender, false)
}

// deliver hands on what is in order, and keeps what is not.
func (c *converter) deliver(f *flow, sender int, s segment) error {
	e := &f.ends[sender]
	if s.offset > e.next {
		s.payload = slices.Clone(s.payload)
		at, _ := slices.BinarySearchFunc(e.ahead, s.offset, func(a segment, offset uint64) int { return cmp.Compare(a.offset, offset) })
		e.ahead = slices.Insert(e.ahead, at, s)
		if len(e.ahead) > maxAhead {
			return c.skip(f, sender)
		}
		return nil
	}
	if err := c.inOrder(f, sender, s); err != nil {
		return err
	}
	return c.drain(f, sender, true)
}

// drain hands on the segments whose turn has come. With filled, that is because the one before them came only now, and
// so could the receiver not have them before.
func (c *converter) drain(f *flow, sender int, filled bool) error {
	e := &f.ends[sender]
	for len(e.ahead) > 0 && e.ahead[0].offset <= e.next {
		s := e.ahead[0]
		e.ahead = slices.Delete(e.ahead, 0, 1)
		if filled {
			s.at = c.now
		}
		if err := c.inOrder(f, sender, s); err != nil {
			return err
		}
	}
	return nil
}

// skip gives up the bytes before the first segment that waits.
func (c *converter) skip(f *flow, sender int) error {
	first := &f.ends[sender].ahead[0]
	return c.miss(f, sender, first.offset, first.at)
}

// inOrder emits a segment that begins at the next byte or before it.
func (c *converter) inOrder(f *flow, sender int, s segment) error {
	e := &f.ends[sender]
	again := min(e.next-s.offset, uint64(s.length))
	c.stats.Repeated += again
	if again == uint64(s.length) {
		return nil
	}
	s.offset += again
	s.length -= uint32(again)
	s.payload = s.payload[min(int(again), len(s.payload)):]
	s.payload = slices.Clone(s.payload[:min(len(s.payload), int(s.length))])
	e.next += uint64(s.length)
	e.emitted, e.emittedAt = true, max(e.emittedAt, s.at)
	for i, kind := range [2]millracev1.EventKind{millracev1.EventKind_EVENT_KIND_SEND, millracev1.EventKind_EVENT_KIND_RECEIVE} {
		event := &millracev1.Event{Kind: kind, TimeNs: e.emittedAt, Offset: s.offset, Length: s.length, Payload: s.payload}
		if s.missing {
			event.Flags = flagUnreadable
		}
		if err := c.event(f, sender^i, event); err != nil {
			return err
		}
	}
	return nil
}

// endOfFile tells the receiver of the end of what sender sends, and both of the end of the connection once both have
// ended.
func (c *converter) endOfFile(f *flow, sender int) error {
	e := &f.ends[sender]
	if !e.fin || e.ended || e.next < e.finAt || f.reset {
		return nil
	}
	e.ended = true
	eof := &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_RECEIVE, TimeNs: f.lastAt, Offset: e.next}
	if err := c.event(f, 1-sender, eof); err != nil {
		return err
	}
	if f.ends[1-sender].ended {
		f.closed = true
		return c.both(f, millracev1.EventKind_EVENT_KIND_CLOSE)
	}
	return nil
}

// leave ends a connection that sends nothing more: it hands on what waits for bytes that never came.
func (c *converter) leave(f *flow) error {
	for i := range f.ends {
		if err := c.overdue(f, i, true); err != nil {
			return err
		}
		for len(f.ends[i].ahead) > 0 {
			if err := c.skip(f, i); err != nil {
				return err
			}
		}
	}
	for i := range f.ends {
		if err := c.endOfFile(f, i); err != nil {
			return err
		}
	}
	switch {
	case f.closed, f.reset:
		return nil
	case f.ends[0].ended, f.ends[1].ended:
		return c.both(f, millracev1.EventKind_EVENT_KIND_CLOSE)
	}
	return c.both(f, millracev1.EventKind_EVENT_KIND_END_OF_CAPTURE)
}

// both tells both ends something that the last segment said.
func (c *converter) both(f *flow, kind millracev1.EventKind) error {
	for i := range f.ends {
		if err := c.event(f, i, &millracev1.Event{Kind: kind, TimeNs: f.lastAt}); err != nil {
			return err
		}
	}
	return nil
}

// flowOf finds the connection of a segment, or makes it; nil if there are too many.
func (c *converter) flowOf(t *layers.TCP, from, to netip.AddrPort) (f *flow, sender int, err error) {
	if f = c.flows[flowKey{from, to, false}]; f == nil {
		if f = c.flows[flowKey{to, from, false}]; f != nil {
			sender = 1
		}
	}
	again := f != nil && t.SYN && !t.ACK && (f.closed || f.reset || f.ends[sender].known && f.ends[sender].isn != t.Seq+1)
	if f != nil && !again {
		return f, sender, nil
	}
	if again {
		delete(c.flows, f.key)
		if err := c.leave(f); err != nil {
			return nil, 0, err
		}
	}
	if len(c.flows) >= maxConnections {
		return nil, 0, nil
	}
	key, sender := flowKey{from, to, false}, 0
	// Who connects is known by the SYN; without it the lower port is taken for the one that accepts, which decides no
	// more than the name of the process: the decoder looks at the content.
	if t.SYN && t.ACK || !t.SYN && from.Port() < to.Port() {
		key, sender = flowKey{to, from, false}, 1
	}
	c.sockets++
	c.stats.Connections++
	f = &flow{key: key, handshake: t.SYN, socket: uint64(c.sockets) * 2}
	if t.SYN {
		f.openedAt = c.now
	}
	c.flows[key] = f
	return f, sender, nil
}

// connection gives the facts of one end.
func (f *flow) connection(side int, process uint64) *millracev1.Connection {
	if f.registered[side] != nil {
		return f.registered[side]
	}
	local, remote := f.key.from, f.key.to
	role := millracev1.Role_ROLE_CLIENT
	if side == 1 {
		local, remote = remote, local
		role = millracev1.Role_ROLE_SERVER
	}
	transport := millracev1.Transport_TRANSPORT_TCP
	if f.key.udp {
		transport = millracev1.Transport_TRANSPORT_UDP
	} else if !f.handshake {
		role = millracev1.Role_ROLE_UNSPECIFIED
	}
	flow := uint64(f.ends[side].isn)<<32 | uint64(f.ends[1-side].isn)
	if flow == 0 {
		flow = 1<<32 | 2
	}
	opened := f.openedAt
	if f.ends[0].joined || f.ends[1].joined {
		opened = 0
	}
	f.registered[side] = &millracev1.Connection{
		SendFlow: flow, ReceiveFlow: identity.Reverse(flow), Socket: f.socket + uint64(side), Process: process,
		Transport: transport, Role: role, OpenedNs: opened,
		LocalAddress: local.Addr().AsSlice(), LocalPort: uint32(local.Port()),
		RemoteAddress: remote.Addr().AsSlice(), RemotePort: uint32(remote.Port()),
	}
	return f.registered[side]
}
