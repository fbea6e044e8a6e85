package pcap

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// isDNS reports whether DNS is served at a port: its own, or that of OpenShift's servers, which is otherwise of
// multicast DNS.
func isDNS(port uint16) bool { return port == 53 || port == 5353 }

// udp handles a packet that is not of TCP: of DNS over UDP, each datagram is an event of its own.
func (c *converter) udp(p gopacket.Packet, at time.Time) error {
	var u *layers.UDP
	var from, to netip.Addr
	whole := false
	for _, l := range p.Layers() { // in a tunnel the innermost
		switch l := l.(type) {
		case *layers.IPv4:
			from, _ = netip.AddrFromSlice(l.SrcIP)
			to, _ = netip.AddrFromSlice(l.DstIP)
			whole = l.Flags&layers.IPv4MoreFragments == 0 && l.FragOffset == 0
		case *layers.IPv6:
			from, _ = netip.AddrFromSlice(l.SrcIP)
			to, _ = netip.AddrFromSlice(l.DstIP)
			whole = true
		case *layers.UDP:
			u = l
		}
	}
	if u == nil || !whole || !from.IsValid() || !to.IsValid() || to.IsMulticast() || u.Length < 8 ||
		!isDNS(uint16(u.SrcPort)) && !isDNS(uint16(u.DstPort)) {
		c.stats.Ignored++
		return nil
	}
	key, sender := flowKey{netip.AddrPortFrom(from.Unmap(), uint16(u.SrcPort)), netip.AddrPortFrom(to.Unmap(), uint16(u.DstPort)), true}, 0
	if !isDNS(uint16(u.DstPort)) {
		key.from, key.to, sender = key.to, key.from, 1
	}
	f := c.flows[key]
	if f == nil {
		if reverse := (flowKey{key.to, key.from, true}); c.flows[reverse] != nil { // both ends have a port of DNS
			f, sender = c.flows[reverse], 1
		}
	}
	if f == nil {
		if len(c.flows) >= maxConnections {
			c.stats.Ignored++
			return nil
		}
		c.sockets++
		c.stats.Connections++
		f = &flow{key: key, socket: uint64(c.sockets) * 2}
		f.ends[0].isn, f.ends[1].isn = uint32(f.socket), uint32(f.socket)+1 // for the identity alone
		c.flows[key] = f
	}
	c.stats.Datagrams++
	c.now = uint64(max(1, at.UnixNano()-c.epoch))
	f.lastAt = c.now
	e := &f.ends[sender]
	length := uint32(u.Length) - 8
	payload := slices.Clone(u.Payload[:min(len(u.Payload), int(length))])
	offset := e.next
	e.next += uint64(length)
	for i, kind := range [2]millracev1.EventKind{millracev1.EventKind_EVENT_KIND_SEND, millracev1.EventKind_EVENT_KIND_RECEIVE} {
		event := &millracev1.Event{Kind: kind, TimeNs: c.now, Offset: offset, Length: length, Payload: payload}
		if err := c.event(f, sender^i, event); err != nil {
			return err
		}
	}
	return nil
}
