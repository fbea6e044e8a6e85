package scrape

import (
	"encoding/hex"
	"io"
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/series"
)

// Numbers of fields in io/prometheus/client/metrics.proto of https://github.com/prometheus/client_model.
const (
	familyName, familyHelp, familyType, familyMetric                   = 1, 2, 3, 4
	metricLabel, metricGauge, metricCounter, metricHistogram           = 1, 2, 3, 7
	labelName, labelValue                                              = 1, 2
	gaugeValue                                                         = 1
	counterValue, counterExemplar, counterCreated                      = 1, 2, 3
	exemplarLabel, exemplarValue, exemplarTimestamp                    = 1, 2, 3
	timestampSeconds, timestampNanos                                   = 1, 2
	histogramCount, histogramSum, histogramBucket                      = 1, 2, 3
	histogramSchema, histogramZeroThreshold, histogramZeroCount        = 5, 6, 7
	histogramSpan, histogramDelta, histogramCreated, histogramExemplar = 12, 13, 15, 16
	bucketCount, bucketUpper, bucketExemplar                           = 1, 2, 3
	spanOffset, spanLength                                             = 1, 2
)

// chunk of a family's message. Growing one piece of memory to its size would touch several times as much.
const chunkBytes = 256 << 10

// wire writes delimited protobuf messages, the only format that has native histograms. The library takes a message of
// its own for each label, bucket and value of a metric, all of a family at once: most of a scrape was making and
// collecting them, see the benchmarks.
type wire struct {
	out    io.Writer
	labels labels
	native native
	buffer []byte // what is being written
	// A family is gathered, since its length comes first.
	full [][]byte
	free [][]byte
	size int // of full
}

func (w *wire) write(families []*family) (n int, err error) {
	for _, f := range families {
		w.head(f)
		before := n
		for i := range f.members {
			f.members[i].each(&w.labels, func(_ *series.Store, x *series.Series, labels []label) {
				n++
				w.metric(f.kind, x, labels)
				if len(w.buffer) >= chunkBytes {
					w.keep()
				}
			})
		}
		w.keep()
		if n > before { // Else taken away since it was found.
			err = w.send()
		}
		for _, chunk := range w.full {
			w.free = append(w.free, chunk[:0])
		}
		w.full, w.size = w.full[:0], 0
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// keep puts what was written aside.
func (w *wire) keep() {
	w.full = append(w.full, w.buffer)
	w.size += len(w.buffer)
	if last := len(w.free) - 1; last >= 0 {
		w.buffer, w.free = w.free[last], w.free[:last]
	} else {
		w.buffer = make([]byte, 0, chunkBytes+chunkBytes/16)
	}
}

// send writes a family.
func (w *wire) send() error {
	if _, err := w.out.Write(protowire.AppendVarint(nil, uint64(w.size))); err != nil {
		return err
	}
	for _, chunk := range w.full {
		if _, err := w.out.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}

func (w *wire) head(f *family) {
	kind := dto.MetricType_GAUGE
	switch f.kind {
	case catalog.Counter:
		kind = dto.MetricType_COUNTER
	case catalog.Histogram:
		kind = dto.MetricType_HISTOGRAM
	case catalog.Info:
	}
	w.text(familyName, f.name)
	w.text(familyHelp, f.help)
	w.uint(familyType, uint64(kind))
}

func (w *wire) metric(kind catalog.Kind, x *series.Series, labels []label) {
	metric := w.begin(familyMetric)
	for i := range labels {
		pair := w.begin(metricLabel)
		w.text(labelName, labels[i].name)
		w.text(labelValue, labels[i].value)
		w.end(pair)
	}
	switch kind {
	case catalog.Counter:
		counter := w.begin(metricCounter)
		w.double(counterValue, x.Value)
		if len(x.Exemplars) > 0 {
			w.exemplar(counterExemplar, &x.Exemplars[0])
		}
		w.timestamp(counterCreated, x.Start)
		w.end(counter)
	case catalog.Info:
		gauge := w.begin(metricGauge)
		w.double(gaugeValue, x.Value)
		w.end(gauge)
	case catalog.Histogram:
		histogram := w.begin(metricHistogram)
		w.histogram(x)
		w.end(histogram)
	}
	w.end(metric)
}

func (w *wire) histogram(x *series.Series) {
	w.uint(histogramCount, x.Count)
	w.double(histogramSum, x.Value)
	switch b := x.Buckets; {
	case b == nil:
	case b.Bounds != nil:
		w.classic(x)
	default:
		w.exponential(x)
	}
	w.timestamp(histogramCreated, x.Start)
}

// classic writes explicit buckets, which are cumulative. That of infinity is the number of all, and is written only
// where it has an exemplar.
func (w *wire) classic(x *series.Series) {
	total := uint64(0)
	for i, upper := range x.Buckets.Bounds.Upper {
		total += x.Buckets.Counts[i]
		w.bucket(total, upper, newest(x, i))
	}
	if e := newest(x, len(x.Buckets.Bounds.Upper)); e != nil {
		w.bucket(x.Count, math.Inf(1), e)
	}
}

func (w *wire) bucket(count uint64, upper float64, e *series.Exemplar) {
	bucket := w.begin(histogramBucket)
	w.uint(bucketCount, count)
	w.double(bucketUpper, upper)
	if e != nil {
		w.exemplar(bucketExemplar, e)
	}
	w.end(bucket)
}

// newest gives the last exemplar of a bucket, nil if it has none.
func newest(x *series.Series, bucket int) (found *series.Exemplar) {
	for i := range x.Exemplars {
		if e := &x.Exemplars[i]; int(e.Bucket) == bucket && (found == nil || e.Time > found.Time) {
			found = e
		}
	}
	return found
}

func (w *wire) exponential(x *series.Series) {
	if !w.native.of(x.Buckets) {
		return
	}
	w.sint(histogramSchema, int64(w.native.schema))
	w.double(histogramZeroThreshold, zeroThreshold)
	w.uint(histogramZeroCount, x.Buckets.Zero)
	for _, s := range w.native.spans {
		span := w.begin(histogramSpan)
		w.sint(spanOffset, int64(s.offset))
		w.uint(spanLength, uint64(s.length))
		w.end(span)
	}
	for _, delta := range w.native.deltas {
		w.sint(histogramDelta, delta)
	}
	for i := range x.Exemplars {
		w.exemplar(histogramExemplar, &x.Exemplars[i])
	}
}

func (w *wire) exemplar(field protowire.Number, e *series.Exemplar) {
	var digits [2 * len(e.TraceID)]byte
	exemplar := w.begin(field)
	pair := w.begin(exemplarLabel)
	w.text(labelName, "trace_id")
	w.text(labelValue, string(hex.AppendEncode(digits[:0], e.TraceID[:])))
	w.end(pair)
	pair = w.begin(exemplarLabel)
	w.text(labelName, "span_id")
	w.text(labelValue, string(appendSpan(digits[:0], e.SpanID)))
	w.end(pair)
	w.double(exemplarValue, e.Value)
	w.timestamp(exemplarTimestamp, e.Time)
	w.end(exemplar)
}

// timestamp writes a google.protobuf.Timestamp of nanoseconds since the Unix epoch.
func (w *wire) timestamp(field protowire.Number, ns uint64) {
	timestamp := w.begin(field)
	w.uint(timestampSeconds, ns/1e9)
	w.uint(timestampNanos, ns%1e9)
	w.end(timestamp)
}

// begin begins a message within the message, with room for a length of one byte; what it gives is for end.
func (w *wire) begin(field protowire.Number) int {
	w.buffer = append(protowire.AppendTag(w.buffer, field, protowire.BytesType), 0)
	return len(w.buffer)
}

// end writes the length in front of what was written since begin, and moves that where a byte is not enough.
func (w *wire) end(start int) {
	length := uint64(len(w.buffer) - start)
	if more := protowire.SizeVarint(length) - 1; more > 0 {
		w.buffer = append(w.buffer, make([]byte, more)...)
		copy(w.buffer[start+more:], w.buffer[start:])
	}
	protowire.AppendVarint(w.buffer[:start-1], length)
}

func (w *wire) text(field protowire.Number, s string) {
	w.buffer = protowire.AppendString(protowire.AppendTag(w.buffer, field, protowire.BytesType), s)
}

func (w *wire) uint(field protowire.Number, v uint64) {
	w.buffer = protowire.AppendVarint(protowire.AppendTag(w.buffer, field, protowire.VarintType), v)
}

func (w *wire) sint(field protowire.Number, v int64) { w.uint(field, protowire.EncodeZigZag(v)) }

func (w *wire) double(field protowire.Number, v float64) {
	w.buffer = protowire.AppendFixed64(protowire.AppendTag(w.buffer, field, protowire.Fixed64Type), math.Float64bits(v))
}
