package metrics

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"millrace.dev/services/enricher/internal/route"
)

// snapshotVersion is the first byte of the aggregator's part of a snapshot. In version 1 routes were learnt otherwise.
const snapshotVersion = 2

var errSnapshot = errors.New("damaged snapshot of metrics")

// AppendSnapshot implements [join.Observer]: version, what was learnt of routes, epoch, window, numbers of batches,
// metrics, resources and series. Series are stored with all that makes their batch, so that a window which is restored
// under another configuration is published as it was begun.
func (a *Aggregator) AppendSnapshot(dst []byte) []byte {
	dst = a.router.AppendSnapshot(append(dst, snapshotVersion))
	dst = binary.AppendVarint(dst, a.epoch)
	dst = binary.AppendVarint(dst, a.start)
	dst = binary.AppendVarint(dst, a.end)
	dst = binary.AppendUvarint(dst, uint64(len(a.numbers)))
	for _, n := range a.numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	all := a.sorted()
	metrics, origins := map[*metric]int{}, map[*origin]int{}
	var metricList []*metric
	var originList []*origin
	for _, s := range all {
		if _, found := metrics[s.metric]; !found {
			metrics[s.metric] = len(metricList)
			metricList = append(metricList, s.metric)
		}
		if _, found := origins[s.origin]; !found {
			origins[s.origin] = len(originList)
			originList = append(originList, s.origin)
		}
	}
	names := map[uint32]string{}
	for name, number := range a.services {
		names[number] = name
	}
	dst = binary.AppendUvarint(dst, uint64(len(metricList)))
	for _, m := range metricList {
		dst = m.appendSnapshot(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(originList)))
	for _, o := range originList {
		dst = appendSized(appendSized(dst, o.encoded), names[o.service])
	}
	dst = binary.AppendUvarint(dst, uint64(len(all)))
	for _, s := range all {
		dst = binary.AppendUvarint(dst, uint64(metrics[s.metric]))
		dst = binary.AppendUvarint(dst, uint64(origins[s.origin]))
		dst = s.appendSnapshot(dst)
	}
	return dst
}

func appendSized(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (m *metric) appendSnapshot(dst []byte) []byte {
	dst = append(appendSized(appendSized(dst, m.name), m.unit), byte(m.form))
	dst = append(dst, bit(m.exemplars))
	dst = binary.AppendUvarint(dst, uint64(len(m.bounds)))
	for _, bound := range m.bounds {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(bound))
	}
	return dst
}

func bit(set bool) byte {
	if set {
		return 1
	}
	return 0
}

func (s *series) appendSnapshot(dst []byte) []byte {
	dst = append(appendSized(dst, s.attributes), bit(s.overflow))
	dst = binary.AppendUvarint(dst, s.count)
	dst = binary.AppendUvarint(dst, s.sum)
	switch s.metric.form {
	case explicit:
		dst = appendCounts(dst, s.counts)
	case exponentialForm:
		e := s.exponential
		dst = binary.AppendVarint(dst, int64(e.scale))
		dst = binary.AppendUvarint(dst, e.zeros)
		dst = binary.AppendVarint(dst, int64(e.low))
		dst = binary.AppendUvarint(dst, uint64(e.used))
		dst = appendCounts(dst, e.counts[:e.used])
	default:
	}
	if !s.metric.exemplars {
		return dst
	}
	dst = binary.AppendUvarint(dst, s.sampled)
	dst = append(dst, byte(len(s.samples)))
	for i := range s.samples {
		e := &s.samples[i]
		dst = binary.AppendUvarint(dst, uint64(e.bucket))
		dst = append(dst, e.trace[:]...)
		for _, v := range []uint64{e.span, e.value, e.at} {
			dst = binary.LittleEndian.AppendUint64(dst, v)
		}
	}
	return dst
}

// Restore implements [join.Observer].
func (a *Aggregator) Restore(snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] == 0 || snapshot[0] > snapshotVersion {
		return fmt.Errorf("metrics of an unknown version (expected %d)", snapshotVersion)
	}
	router := route.NewRouter()
	restore := router.Restore
	if snapshot[0] == 1 {
		restore = route.SkipOld
	}
	rest, err := restore(snapshot[1:])
	if err != nil {
		return err
	}
	r := reader{b: rest}
	a.router = router
	a.epoch, a.start, a.end = r.int(), r.int(), r.int()
	if n := r.uint(); n != uint64(len(a.numbers)) {
		return errSnapshot
	}
	for i := range a.numbers {
		a.numbers[i] = r.uint()
	}
	var metrics []*metric
	for range r.count() {
		metrics = append(metrics, a.restoredMetric(r.metric()))
	}
	var origins []*origin
	for range r.count() {
		encoded, service := string(r.sized()), string(r.sized())
		o := a.restoredOrigin(encoded, service)
		if o == nil {
			return errSnapshot
		}
		origins = append(origins, o)
	}
	for range r.count() {
		m, o := r.uint(), r.uint()
		if r.failed || m >= uint64(len(metrics)) || o >= uint64(len(origins)) {
			return errSnapshot
		}
		attributes := r.sized()
		if r.failed || a.lookUp(metrics[m], origins[o], attributes) != nil {
			return errSnapshot
		}
		s := a.make(metrics[m], origins[o])
		r.series(s)
		if !s.overflow && s.metric.form != gauge {
			a.counts[scope{s.metric.index, s.origin.service}]++
			a.counted++
		}
	}
	if r.failed || len(r.b) != 0 || len(a.series) > 0 && a.end == 0 || a.start > a.end {
		return errSnapshot
	}
	return nil
}

// restoredMetric gives the metric of the settings if it is the same, else the restored one itself.
func (a *Aggregator) restoredMetric(m *metric) *metric {
	for _, own := range a.settings.metrics {
		if own.name == m.name && own.unit == m.unit && own.form == m.form && own.exemplars == m.exemplars && slices.Equal(own.bounds, m.bounds) {
			return own
		}
	}
	m.index = uint32(len(a.settings.metrics) + len(a.foreign))
	a.foreign = append(a.foreign, m)
	return m
}

// reader takes a snapshot apart. After the first mistake it gives zeros.
type reader struct {
	b      []byte
	failed bool
}

func (r *reader) fail() { r.b, r.failed = nil, true }

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a number of things that take at least a byte each.
func (r *reader) count() uint64 {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.fail()
		return 0
	}
	return n
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) sized() []byte { return r.take(r.uint()) }

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) fixed() uint64 {
	if v := r.take(8); v != nil {
		return binary.LittleEndian.Uint64(v)
	}
	return 0
}

func (r *reader) metric() *metric {
	m := &metric{name: string(r.sized()), unit: string(r.sized()), form: form(r.byte()), exemplars: r.byte() == 1}
	if m.form >= forms {
		r.fail()
	}
	for range r.count() {
		bound := math.Float64frombits(r.fixed())
		m.bounds = append(m.bounds, bound)
		m.limits = append(m.limits, uint64(math.Round(max(bound, 0)*m.scale())))
	}
	return m
}

func (r *reader) series(s *series) {
	s.overflow = r.byte() == 1
	s.count, s.sum = r.uint(), r.uint()
	switch s.metric.form {
	case explicit:
		for i := range s.counts {
			s.counts[i] = r.uint()
		}
	case exponentialForm:
		e := s.exponential
		scale, zeros, low, used := r.int(), r.uint(), r.int(), r.uint()
		if scale < minScale || scale > maxScale || used > maxBuckets || low < -1<<20 || low > 1<<20 {
			r.fail()
			return
		}
		e.scale, e.zeros, e.low, e.used = int(scale), zeros, int(low), int(used)
		for i := range e.used {
			e.counts[i] = r.uint()
		}
	default:
	}
	if !s.metric.exemplars {
		return
	}
	s.sampled = r.uint()
	n := r.byte()
	if n > maxSamples {
		r.fail()
		return
	}
	for range n {
		e := sample{bucket: int(r.uint() & math.MaxInt32)}
		copy(e.trace[:], r.take(16))
		e.span, e.value, e.at = r.fixed(), r.fixed(), r.fixed()
		s.samples = append(s.samples, e)
	}
}
