package join

import (
	"net/netip"
	"time"

	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// flowHold is how much longer than an interval a connection that is new waits for the other end's counters, so that
	// both ends have names.
	flowHold = int64(2 * time.Second)
	// flowKept is how long a connection is remembered after its end: whoever is heard of later may have been counted.
	flowKept = int64(2 * time.Minute)
)

// Counters of an end, as they are kept: cumulative since the connection began, those of 32 bits unwrapped.
const (
	bytesSent = iota // payload, with what was sent again
	payloadSent
	payloadReceived
	receiverLimited // us
	senderLimited   // us
	segmentsOut     // from here on of 32 bits
	segmentsIn
	retransmits
	flowCounters
)

type counted [flowCounters]uint64

// flowEnd is what one end of a connection has counted.
type flowEnd struct {
	process       *process // nil: the end is not heard of
	local, remote netip.AddrPort
	role          millracev1.Role
	opened        uint64 // node time, ns; 0: before capture
	connecting    uint64
	at            uint64 // node time of the newest sample
	header        uint32 // bytes of a segment
	srtt, rttMin  uint32 // us
	errno, state  uint32
	// whole: the counters count from the connection's beginning. ended: there will be no more.
	whole, ended bool
	// began and finished were told.
	began, finished bool
	now, told       counted
}

func (e *flowEnd) known() bool { return e.process != nil }

// who gives the process under the identity that is known now.
func (e *flowEnd) who() *process {
	for e.process.next != nil {
		e.process = e.process.next
	}
	return e.process
}

// traffic is a number of bytes with headers, and of packets.
type traffic struct{ bytes, packets uint64 }

// flow is a connection. End 0 is the one whose send_flow is the smaller one.
type flow struct {
	key  uint64
	ends [2]flowEnd
	// counted has what was told of the bytes that each end sent.
	counted [2]traffic
	// since is the time of the partition's clock at which it was first heard of; settled: it waits for nothing.
	since   int64
	settled bool
	// endedAt is when all ends that are known had ended; 0: not yet.
	endedAt int64
	// stamp is the newest time at which a sample was taken, Unix ns.
	stamp int64

	previous, next *flow // in order of use
}

// sent adds up what an end sent so far: by its own count, else by what the other end received. Both count from the
// beginning of the connection, so that the one may take over from the other.
func (f *flow) sent(end int) (w traffic, ok bool) {
	if e := &f.ends[end]; e.known() {
		return traffic{e.now[bytesSent] + e.now[segmentsOut]*uint64(e.header), e.now[segmentsOut]}, true
	}
	if e := &f.ends[1-end]; e.known() {
		return traffic{e.now[payloadReceived] + e.now[segmentsIn]*uint64(e.header), e.now[segmentsIn]}, true
	}
	return traffic{}, false
}

// FlowEnd is one end of a connection.
type FlowEnd struct {
	// Process is nil if the end is not watched.
	Process *resource.Identity
	// Cluster is what the cluster says of the address of an end that is not watched. May be nil.
	Cluster *millracev1.Identity
	// Address as the end itself has it where it is watched, else as the other end does.
	Address netip.AddrPort
}

// Flow is what the direction of a connection from one end to the other gained, and what the sending end counted
// besides. It and what it points to are valid during the call.
type Flow struct {
	From, To FlowEnd
	// Role of From in the connection.
	Role millracev1.Role
	// Bytes on the wire with the headers of IP and TCP, and packets.
	Bytes, Packets uint64
	// Own has what From counted; nil where it is not watched.
	Own *OwnCounts
}

// OwnCounts is what one end of a connection gained.
type OwnCounts struct {
	Retransmits, PayloadSent, PayloadReceived uint64
	// Nanoseconds for which it was held back by the other end's window and by its own send buffer.
	ReceiverLimited, SenderLimited uint64
	// Round-trip times, nanoseconds; 0: not measured.
	RTT, RTTMin uint64
	// Began: the connection was established, and is told of for the first time. Connecting is how long that took, ns; 0:
	// not known.
	Began      bool
	Connecting uint64
	// Ended: this is the last of the end. Duration of the connection, ns; 0: not known. Reset says how it broke; empty: in
	// order.
	Ended    bool
	Duration uint64
	Reset    string
}

// flow takes a sample of a connection's counters.
func (p *Partition) flow(encoded []byte) {
	var m millracev1.Flow
	if m.UnmarshalVT(encoded) != nil || m.Connection == nil || m.Sample == nil || m.Connection.SendFlow == 0 || m.Connection.Process == 0 {
		p.counters.Malformed.WithLabelValues("flow").Inc()
		return
	}
	c, s := m.Connection, m.Sample
	local, remote := addressOf(c.LocalAddress, c.LocalPort), addressOf(c.RemoteAddress, c.RemotePort)
	if c.Transport != millracev1.Transport_TRANSPORT_TCP || !p.settings.Loopback && (local.Addr().IsLoopback() || local.Addr() == remote.Addr()) {
		return
	}
	key, end := c.SendFlow, 0
	if swapped := key<<32 | key>>32; swapped < key {
		key, end = swapped, 1
	}
	f := p.flows.find(key)
	stamp := int64(s.TimeNs) + m.ClockOffsetNs
	if f == nil {
		if stamp <= p.flows.removed {
			p.counters.flowsLate.Inc() // of one that may have been counted and forgotten
			return
		}
		f = p.flows.add(key, p.now)
	}
	e := &f.ends[end]
	if e.known() && s.TimeNs <= e.at {
		return // it came before
	}
	f.stamp = max(f.stamp, stamp)
	p.flows.use(f)
	if first := !e.known(); e.take(c, s, local, remote) && first && !e.whole {
		p.counters.flowsJoined.Inc()
		f.join(end)
	}
	e.process = p.processes.get(c.Process)
	if other := &f.ends[1-end]; !other.known() {
		p.names.find(addressPlace(remote.Addr()), p.now, 0)
	} else {
		f.settled = true
	}
	if f.settled {
		p.tellFlow(f)
	}
	if f.ended() && f.endedAt == 0 {
		f.endedAt = p.now
		p.flows.ending = append(p.flows.ending, f)
	}
	if forgotten := p.flows.bound(p.settings.MaxFlows); forgotten != nil {
		p.tellFlow(forgotten)
		p.counters.flowsForgotten.Inc()
	}
}

// addressOf gives an invalid address for one that is malformed.
func addressOf(ip []byte, port uint32) netip.AddrPort {
	address, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(address.Unmap(), uint16(port))
}

// take puts a sample in the place of the one before.
func (e *flowEnd) take(c *millracev1.Connection, s *millracev1.FlowSample, local, remote netip.AddrPort) bool {
	e.local, e.remote, e.role = local, remote, c.Role
	if e.at == 0 {
		e.opened, e.connecting = c.OpenedNs, c.ConnectingNs
		e.whole = s.Flags&1 != 0 && c.OpenedNs != 0
	}
	e.at, e.header, e.srtt, e.rttMin = s.TimeNs, s.HeaderBytes, s.SrttUs, s.RttMinUs
	if s.Flags&2 != 0 {
		e.ended, e.errno, e.state = true, s.Error, s.State
	}
	for i, v := range [...]uint64{
		bytesSent: s.BytesSent, payloadSent: s.PayloadSent, payloadReceived: s.PayloadReceived,
		receiverLimited: s.ReceiverLimitedUs, senderLimited: s.SenderLimitedUs,
		segmentsOut: uint64(s.SegmentsOut), segmentsIn: uint64(s.SegmentsIn), retransmits: uint64(s.Retransmits),
	} {
		if i >= segmentsOut {
			v = e.now[i] + uint64(uint32(v)-uint32(e.now[i])) // the difference modulo 2^32
		}
		e.now[i] = max(e.now[i], v)
	}
	return true
}

// join begins at what an end has counted when it is first heard of: what came before is not known to be ours.
func (f *flow) join(end int) {
	e, other := &f.ends[end], &f.ends[1-end]
	e.told, e.began = e.now, true
	if other.known() {
		return // its counters say where the connection was joined
	}
	f.counted[end] = traffic{e.now[bytesSent] + e.now[segmentsOut]*uint64(e.header), e.now[segmentsOut]}
	f.counted[1-end] = traffic{e.now[payloadReceived] + e.now[segmentsIn]*uint64(e.header), e.now[segmentsIn]}
}

func (f *flow) ended() bool {
	for i := range f.ends {
		if e := &f.ends[i]; e.known() && !e.ended {
			return false
		}
	}
	return true
}

// tellFlow gives the observer what the connection gained since the last time.
func (p *Partition) tellFlow(f *flow) {
	if p.observer == nil {
		return
	}
	f.settled = true
	for i := range f.ends {
		e := &f.ends[i]
		told := Flow{From: p.endOf(f, i), To: p.endOf(f, 1-i), Role: f.role(i)}
		if w, ok := f.sent(i); ok {
			c := &f.counted[i]
			told.Bytes, told.Packets = w.bytes-min(w.bytes, c.bytes), w.packets-min(w.packets, c.packets)
			c.bytes, c.packets = max(c.bytes, w.bytes), max(c.packets, w.packets)
		}
		if e.known() {
			told.Own = e.own()
		}
		if told.Bytes > 0 || told.Packets > 0 || told.Own != nil {
			p.observer.ObserveFlow(&told)
		}
	}
}

// role of an end, by what either says.
func (f *flow) role(end int) millracev1.Role {
	if r := f.ends[end].role; r != millracev1.Role_ROLE_UNSPECIFIED {
		return r
	}
	switch f.ends[1-end].role {
	case millracev1.Role_ROLE_CLIENT:
		return millracev1.Role_ROLE_SERVER
	case millracev1.Role_ROLE_SERVER:
		return millracev1.Role_ROLE_CLIENT
	default:
		return millracev1.Role_ROLE_UNSPECIFIED
	}
}

// endOf describes an end.
func (p *Partition) endOf(f *flow, end int) FlowEnd {
	e := &f.ends[end]
	if e.known() {
		return FlowEnd{Process: e.who().identity, Address: e.local}
	}
	remote := f.ends[1-end].remote
	described := FlowEnd{Address: remote}
	if n := p.names.of[addressPlace(remote.Addr())]; n != nil && n.identity.GetKind() != millracev1.IdentityKind_IDENTITY_KIND_UNSPECIFIED {
		described.Cluster = n.identity
	}
	return described
}

// own gives what the end counted since the last time; nil if that is nothing.
func (e *flowEnd) own() *OwnCounts {
	if e.told == e.now && e.began && e.finished == e.ended {
		return nil
	}
	d := e.now
	for i := range d {
		d[i] -= e.told[i]
	}
	o := &OwnCounts{
		Retransmits: d[retransmits], PayloadSent: d[payloadSent], PayloadReceived: d[payloadReceived],
		ReceiverLimited: d[receiverLimited] * 1000, SenderLimited: d[senderLimited] * 1000,
		RTT: uint64(e.srtt) * 1000, Began: !e.began, Ended: e.ended && !e.finished,
	}
	if e.rttMin != ^uint32(0) { // none was measured
		o.RTTMin = uint64(e.rttMin) * 1000
	}
	if o.Began && e.connecting != 0 && e.opened > e.connecting {
		o.Connecting = e.opened - e.connecting
	}
	if o.Ended {
		o.Reset = e.reset()
		if e.opened != 0 && e.at > e.opened {
			o.Duration = e.at - e.opened
		}
	}
	e.told, e.began, e.finished = e.now, true, e.ended
	return o
}

// Values of the kernel: include/net/tcp_states.h, errno.
const (
	stateEstablished, stateCloseWait = 1, 8
	errPipe, errReset, errTimeout    = 32, 104, 110
)

// reset says how the connection broke. An orderly end passes through other states.
func (e *flowEnd) reset() string {
	switch {
	case e.errno == errTimeout:
		return "timed-out"
	case e.errno == errReset, e.errno == errPipe:
		return "received"
	case e.errno != 0:
		return "other"
	case e.state == stateEstablished, e.state == stateCloseWait:
		return "sent"
	}
	return ""
}
