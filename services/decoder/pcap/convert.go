package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Limits that keep memory bounded whatever the file says.
const (
	maxConnections = 65536
	maxPacket      = 1 << 20
)

// Options of a conversion. Zero values stand for defaults.
type Options struct {
	// Node is the node name in the batches, by default "pcap".
	Node string
	// Partitions of the raw stream, by default [bus.DefaultPartitions].
	Partitions int
	// BatchEvents is the number of events in a batch, by default 512.
	BatchEvents int
}

// Stats counts what a conversion met.
type Stats struct {
	// Packets read, and TCP segments and datagrams of DNS among them.
	Packets, Segments, Datagrams int
	// Connections found, with the pairs of addresses that exchange datagrams.
	Connections int
	// Ignored packets: neither TCP nor DNS over UDP, fragments, or beyond the limit of connections.
	Ignored int
	// Repeated bytes were dropped (retransmissions); Missing bytes never came.
	Repeated, Missing uint64
}

// source is what both readers of pcapgo offer.
type source interface {
	ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	LinkType() layers.LinkType
}

// Convert reads a capture from r and calls emit for each batch, in order of time but for bytes that had to wait for
// others. Connections that are open at the end are ended by an event that says so. A batch is emit's own. An error of
// emit ends the conversion and is given back; a file that ends in the middle of a packet is an error too, after what
// came before was emitted.
func Convert(r io.Reader, o Options, emit func(*millracev1.RawBatch) error) (Stats, error) {
	if o.Node == "" {
		o.Node = "pcap"
	}
	if o.Partitions <= 0 {
		o.Partitions = bus.DefaultPartitions
	}
	if o.BatchEvents <= 0 {
		o.BatchEvents = 512
	}
	c := &converter{options: o, emit: emit, flows: map[flowKey]*flow{}, sequences: map[uint32]uint64{}}
	s, err := open(r)
	if err != nil {
		return c.stats, fmt.Errorf("open capture: %w", err)
	}
	for {
		b, info, err := s.ZeroCopyReadPacketData()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return c.stats, errors.Join(fmt.Errorf("read packet %d: %w", c.stats.Packets+1, err), c.finish())
		}
		link := s.LinkType()
		if len(info.AncillaryData) > 0 { // pcapng: each interface has its own
			if of, ok := info.AncillaryData[0].(layers.LinkType); ok {
				link = of
			}
		}
		if err := c.packet(b, info.Timestamp, link); err != nil {
			return c.stats, err
		}
	}
	return c.stats, c.finish()
}

// open tells the formats apart by the first bytes.
func open(r io.Reader) (source, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("neither pcap nor pcapng: %w", err)
	}
	switch {
	case binary.BigEndian.Uint32(magic) == 0x0a0d0d0a:
		return openNG(buffered)
	case binary.BigEndian.Uint32(magic) == modifiedMagic:
		return openModified(buffered, binary.BigEndian)
	case binary.LittleEndian.Uint32(magic) == modifiedMagic:
		return openModified(buffered, binary.LittleEndian)
	}
	return openClassic(buffered)
}

func openNG(r io.Reader) (source, error) {
	return pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
}

func openClassic(r io.Reader) (source, error) {
	s, err := pcapgo.NewReader(r)
	if err != nil {
		return nil, err
	}
	if s.Snaplen() == 0 || s.Snaplen() > maxPacket {
		s.SetSnaplen(maxPacket)
	}
	return s, nil
}

// packet handles one packet.
func (c *converter) packet(b []byte, at time.Time, link layers.LinkType) error {
	c.stats.Packets++
	if c.epoch == 0 {
		c.epoch = at.Add(-time.Second).UnixNano()
	}
	p := gopacket.NewPacket(b, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	t, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
	if !ok {
		return c.udp(p, at)
	}
	var from, to netip.Addr
	length := len(t.Payload)
	header := int(t.DataOffset) * 4
	switch ip := carrier(p).(type) {
	case *layers.IPv4:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		to, _ = netip.AddrFromSlice(ip.DstIP)
		if ip.Flags&layers.IPv4MoreFragments != 0 || ip.FragOffset != 0 {
			c.stats.Ignored++
			return nil
		}
		if ip.Length != 0 { // 0: segmentation offload
			length = max(length, int(ip.Length)-int(ip.IHL)*4-header)
		}
	case *layers.IPv6:
		from, _ = netip.AddrFromSlice(ip.SrcIP)
		to, _ = netip.AddrFromSlice(ip.DstIP)
		if ip.NextHeader == layers.IPProtocolTCP && ip.Length != 0 {
			length = max(length, int(ip.Length)-header)
		}
	default:
		c.stats.Ignored++
		return nil
	}
	if !from.IsValid() || !to.IsValid() {
		c.stats.Ignored++
		return nil
	}
	c.stats.Segments++
	c.now = uint64(max(1, at.UnixNano()-c.epoch))
	return c.segment(t, netip.AddrPortFrom(from.Unmap(), uint16(t.SrcPort)), netip.AddrPortFrom(to.Unmap(), uint16(t.DstPort)), length)
}

// carrier gives the IP layer that carries the TCP segment of p: in a tunnel the innermost.
func carrier(p gopacket.Packet) (ip gopacket.Layer) {
	for _, l := range p.Layers() {
		switch l.LayerType() {
		case layers.LayerTypeIPv4, layers.LayerTypeIPv6:
			ip = l
		case layers.LayerTypeTCP:
			return ip
		}
	}
	return ip
}
