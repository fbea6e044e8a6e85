package kernel

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Counters are what one end of a TCP connection has counted since the connection began; fields as in FlowSample of
// raw.proto.
type Counters struct {
	Flags                                      uint32
	BytesSent, BytesRetransmitted              uint64
	PayloadSent, PayloadReceived               uint64
	SegmentsOut, SegmentsIn                    uint32
	DataSegmentsOut, DataSegmentsIn            uint32
	Retransmits, SRTTUS, RTTMinUS, HeaderBytes uint32
	OutOfOrder, DSACKDuplicates, Reordered     uint32
	Lost, DeliveredCE                          uint32
	BusyUS, ReceiverLimitedUS, SenderLimitedUS uint64
	Error, State                               uint32
}

// rawFlowRecord is struct flow_record in flow.h.
type rawFlowRecord struct {
	Head     rawRecord
	Facts    rawFacts
	Counters struct {
		BytesSent, BytesRetransmitted, BytesAcked, BytesReceived uint64
		SegmentsOut, SegmentsIn                                  uint32
		DataSegmentsOut, DataSegmentsIn                          uint32
		Retransmits, SRTTUS, RTTMinUS                            uint32
		OutOfOrder, DSACKDuplicates, Reordered                   uint32
		Lost, DeliveredCE                                        uint32
		Limited                                                  [3]uint32
		Jiffies                                                  uint32
		Header                                                   uint16
		State, Flags                                             uint8
		Error                                                    uint32
	}
}

const flowRecordSize = int(unsafe.Sizeof(rawFlowRecord{}))

// Flags of struct flow_counters that are not in FlowSample.flags.
const (
	flowFinAcked    = 4
	flowFinReceived = 8
	flowPublic      = 3
)

// takeSample makes an event of a record. Its connection is the one that other records are about, if there are any.
func (k *Kernel) takeSample(r *rawFlowRecord, e *Event) {
	if known := k.table.get(r.Head.Socket); known != nil {
		known.used = k.sweeper.round
		e.Connection = known.connection
	} else {
		e.Connection = r.Facts.connection()
	}
	raw := &r.Counters
	k.jiffies.see(raw.Jiffies, r.Head.Time)
	c := &Counters{
		Flags: uint32(raw.Flags & flowPublic), BytesSent: raw.BytesSent, BytesRetransmitted: raw.BytesRetransmitted,
		PayloadSent: raw.BytesAcked, PayloadReceived: raw.BytesReceived,
		SegmentsOut: raw.SegmentsOut, SegmentsIn: raw.SegmentsIn,
		DataSegmentsOut: raw.DataSegmentsOut, DataSegmentsIn: raw.DataSegmentsIn,
		Retransmits: raw.Retransmits, SRTTUS: raw.SRTTUS, RTTMinUS: raw.RTTMinUS, HeaderBytes: uint32(raw.Header) + ipHeader(e.Connection),
		OutOfOrder: raw.OutOfOrder, DSACKDuplicates: raw.DSACKDuplicates, Reordered: raw.Reordered,
		Lost: raw.Lost, DeliveredCE: raw.DeliveredCE, Error: raw.Error, State: uint32(raw.State),
		ReceiverLimitedUS: k.jiffies.micros(raw.Limited[1]), SenderLimitedUS: k.jiffies.micros(raw.Limited[2]),
	}
	// Whoever is limited has something to send (tcp_get_info_chrono_stats).
	c.BusyUS = k.jiffies.micros(raw.Limited[0]) + c.ReceiverLimitedUS + c.SenderLimitedUS
	// What was acknowledged has the SYN of the end that connected, and both have the FIN.
	if e.Connection.Role == millracev1.Role_ROLE_CLIENT {
		c.PayloadSent -= min(c.PayloadSent, 1)
	}
	if raw.Flags&flowFinAcked != 0 {
		c.PayloadSent -= min(c.PayloadSent, 1)
	}
	if raw.Flags&flowFinReceived != 0 {
		c.PayloadReceived -= min(c.PayloadReceived, 1)
	}
	e.Counters = c
}

// ipHeader is the length of the IP header of the connection's packets: a socket for IPv6 that is connected to a mapped
// address sends IPv4.
func ipHeader(c *Connection) uint32 {
	if c.Remote.Addr().Is4() {
		return 20
	}
	return 40
}

// jiffies are the kernel's ticks. How many there are in a second is told from two records.
type jiffies struct {
	ticks uint32
	at    uint64 // ns
	hertz uint64 // 0: not known yet
	begun bool
}

// see takes a time in both units.
func (j *jiffies) see(ticks uint32, at uint64) {
	if !j.begun {
		j.ticks, j.at, j.begun = ticks, at, true
		return
	}
	// Half of a second tells 100, 250, 300 and 1000 apart, and less than a quarter of an hour does not wrap.
	if elapsed := at - j.at; j.hertz == 0 && at > j.at && elapsed >= uint64(time.Second/2) {
		rate := uint64(ticks-j.ticks) * uint64(time.Second) / elapsed
		for _, hertz := range []uint64{100, 250, 300, 1000} {
			if rate > hertz*93/100 && rate < hertz*107/100 {
				j.hertz = hertz
			}
		}
		j.ticks, j.at = ticks, at
	}
}

// micros gives the microseconds of ticks, 0 as long as that is not known: counters grow, so that the next sample has
// them.
func (j *jiffies) micros(ticks uint32) uint64 {
	if j.hertz == 0 {
		return 0
	}
	return uint64(ticks) * 1e6 / j.hertz
}

// attachSampler prepares passes over the kernel side's table: by a program that does one when it is run, or by an
// iterator on kernels whose programs cannot, or that refuse it.
func (k *Kernel) attachSampler(spec *ebpf.CollectionSpec) error {
	program, err := k.loadOptional(spec, programSampleTable)
	if err == nil {
		k.pass = func() error {
			_, err := program.Run(&ebpf.RunOptions{})
			return err
		}
		if err = k.pass(); err == nil {
			return nil
		}
	}
	iterated, iteratorErr := k.attachIterator(spec)
	if iteratorErr != nil {
		k.pass = nil
		return errors.Join(err, iteratorErr)
	}
	k.pass = iterated
	return nil
}

func (k *Kernel) attachIterator(spec *ebpf.CollectionSpec) (pass func() error, err error) {
	program, err := k.loadOptional(spec, programSample)
	if err != nil {
		return nil, err
	}
	iterator, err := link.AttachIter(link.IterOptions{Program: program, Map: k.collection.Maps["connections"]})
	if err != nil {
		return nil, fmt.Errorf("attach iterator over connections: %w", err)
	}
	k.sampler = iterator
	pass = func() error { return drain(iterator) }
	return pass, pass() // Whether it may be run is known only then.
}

// startSampling lets the kernel side tell the counters of connections now and then, until Close.
func (k *Kernel) startSampling() {
	if k.pass == nil {
		return
	}
	k.sampling.Go(func() {
		ticker := time.NewTicker(k.options.FlowInterval)
		defer ticker.Stop()
		for {
			select {
			case <-k.closed:
				return
			case <-ticker.C:
				if k.pass() != nil {
					k.passes.failed.Add(1)
				}
			}
		}
	})
}

// passes counts those over the table.
type passes struct{ failed atomic.Uint64 }

// FailedPasses counts the passes over the connections that the kernel refused. Safe for concurrent use with Run.
func (k *Kernel) FailedPasses() uint64 { return k.passes.failed.Load() }
