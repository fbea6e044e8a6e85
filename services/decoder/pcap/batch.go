package pcap

import (
	"cmp"
	"maps"
	"slices"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// converter is the state of one conversion.
type converter struct {
	options   Options
	emit      func(*millracev1.RawBatch) error
	stats     Stats
	epoch     int64  // Unix ns that node time counts from
	now       uint64 // node time of the packet
	flows     map[flowKey]*flow
	sockets   int
	sequences map[uint32]uint64
	open      [2]batch // being filled: of the process that connects, and of the one that accepts
}

// batch is a batch that is being filled.
type batch struct {
	raw   *millracev1.RawBatch
	index map[*millracev1.Connection]uint32
}

// event adds an event at one end of f.
func (c *converter) event(f *flow, side int, e *millracev1.Event) error {
	b := &c.open[side]
	process := identity.Process("pcap", uint32(side)+1, 1)
	if b.raw == nil {
		partition := uint32(bus.ProcessPartition(process, c.options.Partitions))
		b.raw = &millracev1.RawBatch{
			Version: 1, Node: c.options.Node, Epoch: uint64(c.epoch), Partition: partition,
			ClockOffsetNs: c.epoch,
			Processes: []*millracev1.Process{{
				Id: process, Node: c.options.Node, Pid: uint32(side) + 1, Command: [2]string{"client", "server"}[side],
				StartUnixNs: uint64(max(0, c.epoch)),
			}},
		}
		b.index = map[*millracev1.Connection]uint32{}
	}
	facts := f.connection(side, process)
	i := b.index[facts]
	if i == 0 {
		b.raw.Connections = append(b.raw.Connections, facts)
		i = uint32(len(b.raw.Connections))
		b.index[facts] = i
	}
	e.Connection = i
	e.Thread = uint32(side) + 1
	b.raw.Events = append(b.raw.Events, e)
	if len(b.raw.Events) >= c.options.BatchEvents {
		return c.flush()
	}
	return nil
}

// flush emits both batches. Sequence numbers are given here, in the order of emission.
func (c *converter) flush() error {
	for i := range c.open {
		raw := c.open[i].raw
		if raw == nil {
			continue
		}
		c.open[i] = batch{}
		c.sequences[raw.Partition]++
		raw.Sequence = c.sequences[raw.Partition]
		if err := c.emit(raw); err != nil {
			return err
		}
	}
	return nil
}

// finish ends the conversion, and with it the connections that are still open.
func (c *converter) finish() error {
	flows := slices.SortedFunc(maps.Values(c.flows), func(a, b *flow) int { return cmp.Compare(a.socket, b.socket) })
	for _, f := range flows {
		if err := c.leave(f); err != nil {
			return err
		}
	}
	return c.flush()
}
