package metrics

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/wire"
)

const (
	// schemaVersion of batches.
	schemaVersion = 1
	// maxBatchBytes is where a batch ends and another begins; no delta is so large that a message would not hold it.
	maxBatchBytes = 512 << 10
)

// overflowAttribute is what the OpenTelemetry specification gives the series of what is beyond a limit.
var overflowAttribute = func() []byte {
	value := append(appendString(nil, 1, "otel.metric.overflow"), 5<<3|wire.Varint, 1)
	return appendBytes(nil, 3, value)
}()

// appendAttribute appends an attribute field of a MetricDelta. value is as in a key.
func appendAttribute(dst []byte, name string, value []byte) []byte {
	if value[0] == absent {
		return dst
	}
	keyValue := make([]byte, 0, 320)
	keyValue = appendString(keyValue, 1, name)
	switch value[0] {
	case aNumber:
		keyValue = binary.AppendUvarint(append(keyValue, 3<<3|wire.Varint), binary.LittleEndian.Uint64(value[1:]))
	case aYes:
		keyValue = append(keyValue, 5<<3|wire.Varint, 1)
	case aNo:
		keyValue = append(keyValue, 5<<3|wire.Varint, 0)
	default:
		keyValue = appendString(keyValue, 2, string(value[3:]))
	}
	return appendBytes(dst, 3, keyValue)
}

// splitValues takes the values of a key apart.
func splitValues(dst [][]byte, values []byte) [][]byte {
	for len(values) > 0 {
		n := 1
		switch values[0] {
		case aText:
			n = 3 + int(values[1]) + int(values[2])<<8
		case aNumber:
			n = 9
		}
		dst = append(dst, values[:n])
		values = values[n:]
	}
	return dst
}

// appendString appends a field of text, which protobuf wants in UTF-8.
func appendString(dst []byte, field byte, text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	dst = binary.AppendUvarint(append(dst, field<<3|wire.Length), uint64(len(text)))
	return append(dst, text...)
}

func appendBytes[T ~string | ~[]byte](dst []byte, field byte, b T) []byte {
	dst = binary.AppendUvarint(append(dst, field<<3|wire.Length), uint64(len(b)))
	return append(dst, b...)
}

func appendFixed(dst []byte, field byte, v uint64) []byte {
	return binary.LittleEndian.AppendUint64(append(dst, field<<3|wire.Fixed64), v)
}

func appendDouble(dst []byte, field byte, v float64) []byte {
	return appendFixed(dst, field, math.Float64bits(v))
}

func appendVarint(dst []byte, field byte, v uint64) []byte {
	return binary.AppendUvarint(append(dst, field<<3|wire.Varint), v)
}

// sorted gives the series of the window in the order of partition, resource, metric and attributes.
func (a *Aggregator) sorted() []*series {
	all := make([]*series, 0, len(a.series))
	for _, s := range a.series {
		all = append(all, s)
	}
	slices.SortFunc(all, func(x, y *series) int {
		return cmp.Or(
			cmp.Compare(x.origin.partition, y.origin.partition), cmp.Compare(x.origin.encoded, y.origin.encoded),
			cmp.Compare(x.metric.name, y.metric.name), cmp.Compare(x.attributes, y.attributes), cmp.Compare(x.metric.index, y.metric.index),
		)
	})
	return all
}

// publish sends the window's deltas.
func (a *Aggregator) publish(out stage.Output) {
	all := a.sorted()
	p := publisher{a: a, out: out}
	for _, s := range all {
		p.add(s)
	}
	p.finish()
	a.counters.deltas.Add(float64(len(all)))
	a.counters.series.Set(float64(len(all)))
	a.counters.ended.Set(float64(a.end) / 1e9)
}

// publisher puts batches together: of one partition, resource after resource.
type publisher struct {
	a      *Aggregator
	out    stage.Output
	origin *origin
	// batch is the body of a MetricBatch, resource that of its last ResourceDeltas.
	batch, resource, delta []byte
}

func (p *publisher) add(s *series) {
	p.delta = appendDelta(p.delta[:0], s)
	switch {
	case p.origin == nil:
	case p.origin.partition != s.origin.partition || len(p.batch)+len(p.resource)+len(p.delta) > maxBatchBytes:
		p.finish()
	case p.origin != s.origin:
		p.finishResource()
	}
	if p.origin != s.origin {
		p.origin = s.origin
		p.resource = appendBytes(p.resource[:0], 1, s.origin.encoded)
	}
	p.resource = appendBytes(p.resource, 2, p.delta)
}

func (p *publisher) finishResource() {
	p.batch = appendBytes(p.batch, 7, p.resource)
	p.resource = p.resource[:0]
}

func (p *publisher) finish() {
	if p.origin == nil {
		return
	}
	p.finishResource()
	a, partition := p.a, p.origin.partition
	a.numbers[partition]++
	number := a.numbers[partition]
	message := make([]byte, 0, 64+len(p.batch))
	message = appendVarint(message, 1, schemaVersion)
	message = appendVarint(message, 2, uint64(a.partition))
	message = appendFixed(message, 3, uint64(a.epoch))
	message = appendVarint(message, 4, number)
	message = appendFixed(message, 5, uint64(a.start))
	message = appendFixed(message, 6, uint64(a.end))
	message = append(message, p.batch...)
	p.out.Publish(bus.MetricSubject(partition), a.messageID(partition, number), message)
	a.counters.batches.Inc()
	p.batch, p.origin = p.batch[:0], nil
}

// messageID is the same for a batch that is written again.
func (a *Aggregator) messageID(partition int, number uint64) string {
	id := make([]byte, 0, 64)
	id = strconv.AppendInt(append(id, "metric-"...), int64(a.partition), 10)
	id = strconv.AppendInt(append(id, '-'), a.epoch, 10)
	id = strconv.AppendInt(append(id, '-'), int64(partition), 10)
	return string(strconv.AppendUint(append(id, '-'), number, 10))
}

// appendDelta appends a MetricDelta.
func appendDelta(dst []byte, s *series) []byte {
	m := s.metric
	scale := m.scale()
	dst = appendString(dst, 1, m.name)
	if m.unit != "" {
		dst = appendString(dst, 2, m.unit)
	}
	dst = append(dst, s.attributes...)
	sum := float64(s.sum) / scale
	switch m.form {
	case counter:
		dst = appendDouble(dst, 4, sum)
	case gauge:
		dst = appendDouble(dst, 7, sum)
	case explicit:
		dst = appendBytes(dst, 5, appendExplicit(nil, s, sum))
	case exponentialForm:
		dst = appendBytes(dst, 6, appendExponential(nil, s, sum))
	case forms:
	}
	for i := range s.samples {
		e := &s.samples[i]
		b := appendBytes(make([]byte, 0, 48), 1, e.trace[:])
		b = appendFixed(b, 2, e.span)
		b = appendDouble(b, 3, float64(e.value)/scale)
		b = appendFixed(b, 4, e.at)
		dst = appendBytes(dst, 8, b)
	}
	return dst
}

// appendExplicit appends a HistogramDelta.
func appendExplicit(dst []byte, s *series, sum float64) []byte {
	dst = appendVarint(dst, 1, s.count)
	dst = appendDouble(dst, 2, sum)
	bounds := make([]byte, 0, 8*len(s.metric.bounds))
	for _, bound := range s.metric.bounds {
		bounds = binary.LittleEndian.AppendUint64(bounds, math.Float64bits(bound))
	}
	dst = appendBytes(dst, 3, bounds)
	return appendBytes(dst, 4, appendCounts(nil, s.counts))
}

// appendExponential appends an ExponentialHistogramDelta.
func appendExponential(dst []byte, s *series, sum float64) []byte {
	e := s.exponential
	zigzag := func(v int) uint64 { return uint64(int64(v)<<1 ^ int64(v)>>63) }
	dst = appendVarint(dst, 1, s.count)
	dst = appendDouble(dst, 2, sum)
	dst = appendVarint(dst, 3, zigzag(e.scale))
	dst = appendVarint(dst, 4, e.zeros)
	dst = appendVarint(dst, 5, zigzag(e.low))
	return appendBytes(dst, 6, appendCounts(nil, e.counts[:e.used]))
}

func appendCounts(dst []byte, counts []uint64) []byte {
	for _, n := range counts {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}
