package kernel

import (
	"bytes"
	"net/netip"
	"unsafe"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// The layouts below are those of the structs of the same names in bpf/millrace.h and bpf/connection.h.

type rawRecord struct {
	Kind            uint8
	Segments        uint8
	Flags           uint16
	PID             uint32
	Thread          uint32
	Payload         uint32 // or ParentPID
	Length          uint32 // or ParentThread
	Error           uint32
	Time            uint64
	Duration        uint64 // sent; or, received, Arrived
	FirstArrived    uint64 // received; or, sent, Unsent
	Socket          uint64
	Key             uint64
	Offset          uint64
	Goroutine       uint64
	ParentGoroutine uint64
	SRTTUS          uint32 // or, of a Unix-domain socket, its inode: see key
	Retransmits     uint32
}

// key gives where the kernel side's tables have the connection of a record.
func (r *rawRecord) key(transport millracev1.Transport) tableKey {
	k := tableKey{Sock: r.Key}
	if transport == millracev1.Transport_TRANSPORT_UNIX {
		k.Inode = uint64(r.SRTTUS)
	}
	return k
}

type rawFacts struct {
	ID, SendFlow, Opened uint64
	Connecting           uint64
	Owner, NetworkNS     uint32
	Transport, Role      uint8
	Family, Protocol     uint8
	LocalPort            uint16
	RemotePort           uint16
	Local, Remote        [16]byte
}

type rawConnectionRecord struct {
	Head       rawRecord
	Facts      rawFacts
	PathLength uint32
	Path       [108]byte
}

type rawConnection struct {
	Facts rawFacts
	Sides [2]struct {
		Next                uint64
		Held                [2]uint64
		Budget              uint32
		HeldLength, Started uint8
		Line, _             uint8
		Frame, Number       uint64
		Placed              uint64
	}
	Arrival struct {
		Last, First uint64
		Until, From uint32
	}
	Peer, Inode uint64
	Error       uint32 // or Paired
	Tries       uint16
	Flags, _    uint8
	_           [2]uint32 // of flows
}

const (
	recordSize           = int(unsafe.Sizeof(rawRecord{}))
	connectionRecordSize = int(unsafe.Sizeof(rawConnectionRecord{}))
	segmentSize          = int(unsafe.Sizeof(Segment{}))
	maxSegments          = 16 // SEGMENTS_MAX: room that a record with segments always has
	familyIPv6           = 10
)

// recordAt views the beginning of sample, which the ring buffer aligns to 8 bytes, as a T. The caller has checked the
// length.
func recordAt[T any](sample []byte) *T {
	return (*T)(unsafe.Pointer(unsafe.SliceData(sample)))
}

// split gives the segments and the payload of a data record; false if its lengths do not fit.
func split(r *rawRecord, sample []byte, segments []Segment) (_ []Segment, payload []byte, ok bool) {
	rest := sample[recordSize:]
	if r.Segments == 0 {
		if uint64(r.Payload) > uint64(len(rest)) || r.Payload > r.Length {
			return nil, nil, false
		}
		return nil, rest[:r.Payload:r.Payload], true
	}
	if int(r.Segments) > maxSegments || len(rest) < maxSegments*segmentSize {
		return nil, nil, false
	}
	payload = rest[maxSegments*segmentSize:]
	if uint64(r.Payload) > uint64(len(payload)) {
		return nil, nil, false
	}
	segments = append(segments[:0], unsafe.Slice((*Segment)(unsafe.Pointer(unsafe.SliceData(rest))), r.Segments)...)
	var end, total uint64
	for _, s := range segments {
		if uint64(s.At) < end {
			return nil, nil, false
		}
		end = uint64(s.At) + uint64(s.Length)
		total += uint64(s.Length)
	}
	if end > uint64(r.Length) || total != uint64(r.Payload) {
		return nil, nil, false
	}
	return segments, payload[:r.Payload:r.Payload], true
}

// connection gives the facts as the rest of capture sees them.
func (f *rawFacts) connection() *Connection {
	c := &Connection{
		Socket:    f.ID,
		SendFlow:  f.SendFlow,
		Owner:     f.Owner,
		Transport: millracev1.Transport(f.Transport),
		Role:      millracev1.Role(f.Role),
		OpenedNS:  f.Opened,

		ConnectingNS: f.Connecting,
		Hint:         hint(f.Protocol),
		NetworkNS:    f.NetworkNS,
	}
	if c.Transport == millracev1.Transport_TRANSPORT_TCP {
		local, remote := netip.AddrFrom16(f.Local), netip.AddrFrom16(f.Remote)
		if f.Family != familyIPv6 {
			local, remote = netip.AddrFrom4([4]byte(f.Local[:4])), netip.AddrFrom4([4]byte(f.Remote[:4]))
		}
		c.Local = netip.AddrPortFrom(local.Unmap(), f.LocalPort)
		c.Remote = netip.AddrPortFrom(remote.Unmap(), f.RemotePort)
	}
	return c
}

// pending is PROTOCOL_PENDING in connection.h.
const pending = 255

func hint(protocol uint8) millracev1.Protocol {
	if protocol == pending {
		return millracev1.Protocol_PROTOCOL_UNSPECIFIED
	}
	return millracev1.Protocol(protocol)
}

// unixPath gives the address of a Unix-domain socket; abstract names begin with '@'.
func unixPath(path []byte) string {
	if len(path) == 0 {
		return ""
	}
	if path[0] == 0 {
		return "@" + string(path[1:])
	}
	path, _, _ = bytes.Cut(path, []byte{0})
	return string(path)
}
