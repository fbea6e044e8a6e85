package otlp

import (
	"encoding/binary"
	"errors"
	"math"

	"millrace.dev/lib/wire"
)

var errMetricBatch = errors.New("malformed metric batch")

// MetricBatch is a MetricBatch whose resources and deltas are still encoded. Everything in it aliases the message. It
// may be used for one message after another.
type MetricBatch struct {
	Version, Source      uint32
	Epoch, Sequence      uint64
	Start, End           uint64 // nanoseconds since the Unix epoch
	Resources            []ResourceDeltas
	resources, allDeltas [][]byte
}

// ResourceDeltas are the encoded deltas of an encoded resource; see [Delta.Read] and [Resource.Read].
type ResourceDeltas struct {
	Resource []byte
	Deltas   [][]byte
}

// Read replaces b by the message. Fields that are not known are passed over.
func (b *MetricBatch) Read(message []byte) error {
	*b = MetricBatch{Resources: b.Resources[:0], resources: b.resources[:0], allDeltas: b.allDeltas[:0]}
	var f wire.Field
	var ok bool
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return errMetricBatch
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			b.Version = uint32(f.Number)
		case 2<<3 | wire.Varint:
			b.Source = uint32(f.Number)
		case 3<<3 | wire.Fixed64:
			b.Epoch = f.Number
		case 4<<3 | wire.Varint:
			b.Sequence = f.Number
		case 5<<3 | wire.Fixed64:
			b.Start = f.Number
		case 6<<3 | wire.Fixed64:
			b.End = f.Number
		case 7<<3 | wire.Length:
			b.resources = append(b.resources, f.Bytes)
		}
	}
	for _, encoded := range b.resources {
		if !b.deltas(encoded) {
			return errMetricBatch
		}
	}
	return nil
}

// deltas takes a ResourceDeltas apart.
func (b *MetricBatch) deltas(message []byte) (ok bool) {
	var f wire.Field
	var resource []byte
	from := len(b.allDeltas)
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			if resource == nil {
				resource = f.Bytes
			} else {
				resource = append(resource[:len(resource):len(resource)], f.Bytes...)
			}
		case 2<<3 | wire.Length:
			b.allDeltas = append(b.allDeltas, f.Bytes)
		}
	}
	b.Resources = append(b.Resources, ResourceDeltas{Resource: resource, Deltas: b.allDeltas[from:len(b.allDeltas):len(b.allDeltas)]})
	return true
}

// Resource is a Resource of the bus.
type Resource struct{ attributes Span }

// Read replaces r by the message; it reports whether it is well formed.
func (r *Resource) Read(message []byte) bool { return r.attributes.readResource(message) }

// Attributes have different keys.
func (r *Resource) Attributes() []Attribute { return r.attributes.Attributes }

// DeltaKind says which value a [Delta] has.
type DeltaKind uint8

// Kinds of values.
const (
	NoValue DeltaKind = iota
	Sum
	Gauge
	Histogram
	Exponential
)

// Limits of what a delta may ask for.
const (
	// MaxBuckets of a histogram.
	MaxBuckets = 512
	// maxCount of one delta, so that sums of many stay inside 64 bits.
	maxCount = 1 << 48
	// Scales and indexes that OTLP's users have are far inside of these.
	minScale = -10
	// MaxScale is the largest scale of exponential buckets, and MaxIndex the largest index, of either sign.
	MaxScale = 20
	MaxIndex = 1 << 30
)

// Delta is a MetricDelta. Everything in it but numbers aliases the message. It may be used for one delta after another.
type Delta struct {
	Name, Unit []byte
	Attributes []Attribute
	Kind       DeltaKind
	// Value of a sum or a gauge, sum of a histogram.
	Value float64
	// Count of a histogram.
	Count uint64
	// Bounds are the encoded doubles of an explicit histogram.
	Bounds []byte
	// Counts of the buckets of either histogram.
	Counts []uint64
	// Of an exponential histogram.
	ZeroCount     uint64
	Scale, Offset int32
	Exemplars     []Exemplar

	span Span
}

// Exemplar of a delta.
type Exemplar struct {
	TraceID [16]byte
	SpanID  uint64
	Value   float64
	Time    uint64 // nanoseconds since the Unix epoch
}

// Read replaces d by the message; it reports whether it is well formed and makes sense.
func (d *Delta) Read(message []byte) (ok bool) {
	d.span = Span{Attributes: d.span.Attributes[:0], texts: d.span.texts[:0]}
	*d = Delta{Counts: d.Counts[:0], Exemplars: d.Exemplars[:0], span: d.span}
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			d.Name = f.Bytes
		case 2<<3 | wire.Length:
			d.Unit = f.Bytes
		case 3<<3 | wire.Length:
			if !d.span.attribute(f.Bytes) {
				return false
			}
		case 4<<3 | wire.Fixed64:
			d.Kind, d.Value = Sum, math.Float64frombits(f.Number)
		case 5<<3 | wire.Length:
			if !d.histogram(f.Bytes) {
				return false
			}
		case 6<<3 | wire.Length:
			if !d.exponential(f.Bytes) {
				return false
			}
		case 7<<3 | wire.Fixed64:
			d.Kind, d.Value = Gauge, math.Float64frombits(f.Number)
		case 8<<3 | wire.Length:
			if !d.exemplar(f.Bytes) {
				return false
			}
		}
	}
	d.Attributes = d.span.Attributes
	return d.sensible()
}

func (d *Delta) histogram(message []byte) (ok bool) {
	d.Kind, d.Bounds, d.Counts = Histogram, nil, d.Counts[:0]
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			d.Count = f.Number
		case 2<<3 | wire.Fixed64:
			d.Value = math.Float64frombits(f.Number)
		case 3<<3 | wire.Length:
			if d.Bounds == nil {
				d.Bounds = f.Bytes
			} else {
				d.Bounds = append(d.Bounds[:len(d.Bounds):len(d.Bounds)], f.Bytes...)
			}
		case 3<<3 | wire.Fixed64:
			d.Bounds = binary.LittleEndian.AppendUint64(d.Bounds[:len(d.Bounds):len(d.Bounds)], f.Number)
		case 4<<3 | wire.Length:
			if !d.counts(f.Bytes) {
				return false
			}
		case 4<<3 | wire.Varint:
			d.Counts = append(d.Counts, f.Number)
		}
	}
	return true
}

func (d *Delta) exponential(message []byte) (ok bool) {
	d.Kind, d.Counts = Exponential, d.Counts[:0]
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			d.Count = f.Number
		case 2<<3 | wire.Fixed64:
			d.Value = math.Float64frombits(f.Number)
		case 3<<3 | wire.Varint:
			d.Scale = zigzag(f.Number)
		case 4<<3 | wire.Varint:
			d.ZeroCount = f.Number
		case 5<<3 | wire.Varint:
			d.Offset = zigzag(f.Number)
		case 6<<3 | wire.Length:
			if !d.counts(f.Bytes) {
				return false
			}
		case 6<<3 | wire.Varint:
			d.Counts = append(d.Counts, f.Number)
		}
	}
	return true
}

func zigzag(n uint64) int32 { return int32(uint32(n)>>1) ^ -int32(n&1) }

// counts reads packed numbers.
func (d *Delta) counts(packed []byte) bool {
	for len(packed) > 0 {
		n, size := binary.Uvarint(packed)
		if size <= 0 || len(d.Counts) > MaxBuckets {
			return false
		}
		d.Counts = append(d.Counts, n)
		packed = packed[size:]
	}
	return true
}

func (d *Delta) exemplar(message []byte) (ok bool) {
	var f wire.Field
	var e Exemplar
	var trace []byte
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Length:
			trace = f.Bytes
		case 2<<3 | wire.Fixed64:
			e.SpanID = f.Number
		case 3<<3 | wire.Fixed64:
			e.Value = math.Float64frombits(f.Number)
		case 4<<3 | wire.Fixed64:
			e.Time = f.Number
		}
	}
	if copy(e.TraceID[:], trace) != 16 || len(trace) != 16 || e.TraceID == [16]byte{} || e.SpanID == 0 || !finite(e.Value) {
		return false
	}
	d.Exemplars = append(d.Exemplars, e)
	return true
}

// sensible reports whether the value is one: what does not add up would spoil the series for good.
func (d *Delta) sensible() bool {
	if len(d.Name) == 0 || !finite(d.Value) {
		return false
	}
	total := uint64(0)
	for _, n := range d.Counts {
		if n > maxCount {
			return false
		}
		total += n
	}
	switch d.Kind {
	case Sum:
		return d.Value >= 0
	case Gauge:
		return true
	case Histogram:
		return d.Count <= maxCount && total == d.Count && len(d.Counts) == len(d.Bounds)/8+1 && ValidBounds(d.Bounds)
	case Exponential:
		return d.Count <= maxCount && d.ZeroCount <= maxCount && total+d.ZeroCount == d.Count && len(d.Counts) <= MaxBuckets &&
			d.Scale >= minScale && d.Scale <= MaxScale && d.Offset >= -MaxIndex && d.Offset <= MaxIndex
	default:
		return false
	}
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// ValidBounds reports whether encoded doubles are bounds of a histogram.
func ValidBounds(encoded []byte) bool {
	return len(encoded)%8 == 0 && len(encoded)/8 < MaxBuckets && ascending(encoded)
}

func ascending(bounds []byte) bool {
	last := math.Inf(-1)
	for ; len(bounds) > 0; bounds = bounds[8:] {
		v := math.Float64frombits(binary.LittleEndian.Uint64(bounds))
		if !finite(v) || v <= last {
			return false
		}
		last = v
	}
	return true
}

// KeptTraces is a KeptTraces of the bus.
type KeptTraces struct {
	Version uint32
	// TraceIDs have any length, and alias the message.
	TraceIDs [][]byte
}

// Read replaces k by the message.
func (k *KeptTraces) Read(message []byte) (ok bool) {
	k.Version, k.TraceIDs = 0, k.TraceIDs[:0]
	var f wire.Field
	for len(message) > 0 {
		if message, ok = f.Next(message); !ok {
			return false
		}
		switch f.ID<<3 | uint32(f.Type) {
		case 1<<3 | wire.Varint:
			k.Version = uint32(f.Number)
		case 2<<3 | wire.Length:
			k.TraceIDs = append(k.TraceIDs, f.Bytes)
		}
	}
	return true
}
