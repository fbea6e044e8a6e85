package kernel

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"millrace.dev/protocols"
)

// Sizes that Options may have.
const (
	MinPayloadBytes = 64
	MaxPayloadBytes = 4 << 20
	minRingBytes    = 256 << 10
	maxRingBytes    = 1 << 30
	// MaxDatagramPorts is DATAGRAM_PORTS_MAX in datagram.h.
	MaxDatagramPorts = 8
)

// Options say what [Attach] sets up. The zero value captures everything with the defaults below.
type Options struct {
	// RingBytes is the size of the ring buffer, a power of two. Default 8 MiB.
	RingBytes int
	// PayloadBytes is the most bytes that are shipped of what one call moved, from [MinPayloadBytes] to
	// [MaxPayloadBytes], which is the default. Where a call moved more, they are its first and its last bytes.
	PayloadBytes int
	// MessageBytes is the payload shipped in one direction after a message began whose framing the kernel side does not
	// follow; after that only the first and last bytes of each event. Default 64 KiB.
	MessageBytes int
	// CgroupPrefix is the path of a cgroup (v2), relative to the root of the hierarchy: only processes in it or below
	// are captured. Empty: all.
	CgroupPrefix string
	// IgnorePIDs are thread groups whose connections are not captured, at neither end. The calling process is always
	// one.
	IgnorePIDs []uint32
	// MaxConnections bounds the TCP connections that are followed at once; those beyond are counted as losses. About
	// 300 bytes of kernel memory each. Default 65,536.
	MaxConnections int
	// DatagramPorts are the ports to and from which datagrams are captured, at most [MaxDatagramPorts]; a port among
	// them is a server's. Default 53.
	DatagramPorts []uint16
	// RulePorts are the TCP ports that a process with a [Policy] that is Conditional must have to do with.
	RulePorts []PortRange
	// PortsDecide: a connection to or from one of RulePorts selects its process, whatever the program.
	PortsDecide bool
	// NoArrivalTimes: it is not looked when bytes arrive, see [Event].ArrivedNS.
	NoArrivalTimes bool
	// FlowInterval is how far apart the counters of connections that move segments are read; they are also at the end of
	// each. 0: never.
	FlowInterval time.Duration
	// Prepare is called when the maps are there and nothing is attached yet, with a Kernel whose Maps and SetPolicy may
	// be used: for what takes long and would otherwise come between Attach and Run, while the ring buffer fills. May be
	// nil.
	Prepare func(*Kernel)

	// For tests.
	sweepInterval time.Duration         // 0: the constant
	protocols     []*protocols.Protocol // nil: all
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

func (o Options) withDefaults() (Options, error) {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&o.RingBytes, 8<<20)
	set(&o.PayloadBytes, MaxPayloadBytes)
	set(&o.MessageBytes, 64<<10)
	set(&o.MaxConnections, 65536)
	if o.sweepInterval == 0 {
		o.sweepInterval = sweepInterval
	}
	if len(o.DatagramPorts) == 0 {
		o.DatagramPorts = []uint16{53}
	}
	var errs []error
	if len(o.DatagramPorts) > MaxDatagramPorts {
		errs = append(errs, fmt.Errorf("%d ports of datagrams: at most %d", len(o.DatagramPorts), MaxDatagramPorts))
	}
	if o.RingBytes < minRingBytes || o.RingBytes > maxRingBytes || bits.OnesCount(uint(o.RingBytes)) != 1 {
		errs = append(errs, fmt.Errorf("ring buffer of %d bytes: must be a power of two from %d to %d", o.RingBytes, minRingBytes, maxRingBytes))
	}
	if o.PayloadBytes < MinPayloadBytes || o.PayloadBytes > MaxPayloadBytes {
		errs = append(errs, fmt.Errorf("payload of %d bytes: must be from %d to %d", o.PayloadBytes, MinPayloadBytes, MaxPayloadBytes))
	}
	if o.MessageBytes < 0 || o.MessageBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("message of %d bytes: must be from 0 to 1 GiB", o.MessageBytes))
	}
	if o.MaxConnections < 0 || o.MaxConnections > 1<<24 {
		errs = append(errs, fmt.Errorf("%d connections: must be from 1 to %d", o.MaxConnections, 1<<24))
	}
	return o, errors.Join(errs...)
}

// datagramPorts are DatagramPorts as the kernel side has them.
func (o Options) datagramPorts() (ports [MaxDatagramPorts]uint16) {
	copy(ports[:], o.DatagramPorts)
	return ports
}
