package processor

import (
	"millrace.dev/lib/bus"
	"millrace.dev/lib/wire"
	"millrace.dev/services/decoder/internal/rawbatch"
)

// flows are the counters of connections that came during a call. They go out behind its exchanges, so that what is in
// a message is the same whatever the number of cores.
type flows struct {
	encoded []byte // Flow messages, one behind the other
	each    []flow
}

type flow struct {
	end       int // in encoded
	partition int
	process   uint64
}

// maxFlowBytes bounds what is kept of flows before it is published.
const maxFlowBytes = 1 << 20

// flow takes the counters of a connection, whose meaning is the enricher's business.
func (p *Processor) flow(b *rawbatch.Batch, sample []byte) {
	index, ok := connectionOfSample(sample)
	if !ok || index == 0 || index > uint64(len(b.Connections)) {
		count(&p.tally.malformed, "flow", 1)
		return
	}
	c := &b.Connections[index-1]
	if c.SendFlow == 0 || c.Process == 0 {
		count(&p.tally.malformed, "connection", 1)
		return
	}
	f := &p.flows
	f.encoded = appendBytes(f.encoded, 1, c.Encoded)
	f.encoded = appendBytes(f.encoded, 2, sample)
	f.encoded = appendFixed(f.encoded, 3, uint64(p.node.clockOffset))
	f.each = append(f.each, flow{len(f.encoded), bus.ConnectionPartition(c.SendFlow, p.options.Partitions), c.Process})
	p.tally.flows++
	if len(f.encoded) > maxFlowBytes {
		p.run()
		p.emitFlows()
	}
}

// connectionOfSample reads the first field of a FlowSample.
func connectionOfSample(m []byte) (index uint64, ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return 0, false
		}
		if f.ID == 1 && f.Type == wire.Varint {
			index = f.Number
		}
	}
	return index, true
}

// emitFlows adds what came to the messages of its partitions.
func (p *Processor) emitFlows() {
	f := &p.flows
	begin := 0
	for i := range f.each {
		e := &f.each[i]
		p.out.flow(e.partition, p.processOf(e.process), f.encoded[begin:e.end])
		begin = e.end
		p.out.spill()
	}
	f.encoded, f.each = again(f.encoded), f.each[:0]
}

// fieldFlow is the number of a flow in an ExchangeBatch.
const fieldFlow = 5

// flow adds an encoded Flow with the facts of its process.
func (o *emitter) flow(partition int, q *process, encoded []byte) {
	s := &o.exchanges[partition]
	s.name(q)
	o.end(s, append(s.begin(fieldFlow, len(encoded)), encoded...))
}
