package batch

import (
	"encoding/binary"

	"millrace.dev/services/capture/internal/kernel"
)

// Flow adds the counters of a connection. reference is what [Builder.Intern] gave. Nothing of ev is kept.
func (b *Builder) Flow(ev *kernel.Event, reference uint32) {
	b.flows = appendFlow(b.flows, ev, reference)
	b.eventCount++
}

// appendFlow appends field 12 of RawBatch.
func appendFlow(dst []byte, ev *kernel.Event, reference uint32) []byte {
	var scratch [256]byte // 25 fields of 2+10 bytes at most, most of them of few
	c := ev.Counters
	m := appendUint(scratch[:0], 1, uint64(reference))
	m = appendFixed(m, 2, ev.TimeNS)
	m = appendUint(m, 3, uint64(c.Flags))
	m = appendUint(m, 4, c.BytesSent)
	m = appendUint(m, 5, c.BytesRetransmitted)
	m = appendUint(m, 6, c.PayloadSent)
	m = appendUint(m, 7, c.PayloadReceived)
	m = appendUint(m, 8, uint64(c.SegmentsOut))
	m = appendUint(m, 9, uint64(c.SegmentsIn))
	m = appendUint(m, 10, uint64(c.DataSegmentsOut))
	m = appendUint(m, 11, uint64(c.DataSegmentsIn))
	m = appendUint(m, 12, uint64(c.Retransmits))
	m = appendUint(m, 13, uint64(c.SRTTUS))
	m = appendUint(m, 14, uint64(c.RTTMinUS))
	m = appendUint(m, 15, uint64(c.HeaderBytes))
	for i, v := range [...]uint64{
		uint64(c.OutOfOrder), uint64(c.DSACKDuplicates), uint64(c.Reordered), uint64(c.Lost), uint64(c.DeliveredCE),
		c.BusyUS, c.ReceiverLimitedUS, c.SenderLimitedUS, uint64(c.Error), uint64(c.State),
	} {
		if v != 0 {
			m = binary.AppendUvarint(m, uint64(16+i)<<3)
			m = binary.AppendUvarint(m, v)
		}
	}
	dst = append(dst, 12<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(m)))
	return append(dst, m...)
}
