package kernel

import (
	"container/list"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// pairIdle is after how many ns without a datagram a pair is forgotten. Who waits for an answer has given up by
	// then.
	pairIdle = 10_000_000_000
	// maxPairs bounds those that are remembered; beyond it the ones idle for longest go.
	maxPairs = 32768
)

// rawDatagram is struct datagram in datagram.h.
type rawDatagram struct {
	Local, Remote         [16]byte
	NetworkNS             uint32
	LocalPort, RemotePort uint16
	Reserved              uint64
}

const datagramSize = 48

// pairKey is a socket and a remote address. A socket's address in memory soon is another's, which has another local
// port.
type pairKey struct {
	socket        uint64 // address of the sock
	pid           uint32
	local, remote netip.AddrPort
}

// peers is a "connection" of datagrams.
type peers struct {
	key        pairKey
	connection *Connection
	moved      [2]uint64 // bytes sent, received
	used       uint64    // CLOCK_MONOTONIC
}

// datagrams are the pairs that exchange datagrams. Only Run's goroutine uses it.
type datagrams struct {
	ports  []uint16                  // that servers have
	pairs  map[pairKey]*list.Element // of *peers
	order  list.List                 // by time of use, the oldest first
	last   uint64                    // Connection.Socket of the newest
	closed []*peers                  // whose end is still to be handed on
}

// take makes an event of a datagram, whose record fits into sample. False if it is not known where it came from.
func (g *datagrams) take(r *rawRecord, sample []byte, e *Event) bool {
	d := recordAt[rawDatagram](sample[recordSize:])
	if d.RemotePort == 0 {
		return false
	}
	p := g.pair(pairKey{
		socket: r.Key, pid: e.PID,
		local:  netip.AddrPortFrom(netip.AddrFrom16(d.Local).Unmap(), d.LocalPort),
		remote: netip.AddrPortFrom(netip.AddrFrom16(d.Remote).Unmap(), d.RemotePort),
	}, e.TimeNS, d.NetworkNS)
	side := 0
	if e.Kind == datagramReceived {
		side = 1
	}
	e.Kind = [...]Kind{Send, Receive}[side]
	e.Connection = p.connection
	e.DurationNS, e.Length, e.Offset = r.Duration, r.Length, p.moved[side]
	p.moved[side] += uint64(r.Length)
	e.Payload = sample[recordSize+datagramSize:][:r.Payload:r.Payload]
	return true
}

// pair finds the pair of a key, or makes it.
func (g *datagrams) pair(key pairKey, now uint64, networkNS uint32) *peers {
	if g.pairs == nil {
		g.pairs = map[pairKey]*list.Element{}
	}
	if at := g.pairs[key]; at != nil {
		p := at.Value.(*peers)
		p.used = max(p.used, now)
		g.order.MoveToBack(at)
		return p
	}
	if len(g.pairs) >= maxPairs {
		g.end(g.order.Front())
	}
	g.last = max(now<<10|1023, g.last+1024) // no CPU of the kernel side gives 1023 to a socket
	role := millracev1.Role_ROLE_SERVER
	if slices.Contains(g.ports, key.remote.Port()) {
		role = millracev1.Role_ROLE_CLIENT
	}
	p := &peers{key: key, used: now, connection: &Connection{
		Socket: g.last, SendFlow: g.last, Owner: key.pid, Transport: millracev1.Transport_TRANSPORT_UDP, Role: role,
		Local: key.local, Remote: key.remote, NetworkNS: networkNS,
	}}
	g.pairs[key] = g.order.PushBack(p)
	return p
}

func (g *datagrams) end(at *list.Element) {
	p := g.order.Remove(at).(*peers)
	delete(g.pairs, p.key)
	g.closed = append(g.closed, p)
}

// expire hands on the end of pairs that are forgotten.
func (g *datagrams) expire(handle func(*Event)) {
	if len(g.pairs) == 0 && len(g.closed) == 0 {
		return
	}
	var clock unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &clock) != nil {
		return
	}
	now := uint64(clock.Nano())
	for at := g.order.Front(); at != nil && at.Value.(*peers).used+pairIdle < now; at = g.order.Front() {
		g.end(at)
	}
	for _, p := range g.closed {
		handle(&Event{Kind: Close, Connection: p.connection, PID: p.key.pid, TimeNS: now})
	}
	clear(g.closed)
	g.closed = g.closed[:0]
}
