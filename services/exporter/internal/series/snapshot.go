package series

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/otlp"
)

const snapshotVersion = 1

var errSnapshot = errors.New("damaged snapshot of series")

// Flags of a series in a snapshot.
const (
	flagChanged = 1 << iota
	flagExplicit
	flagExponential
)

// Snapshot appends the state to dst: a version byte, the boundary, the sources, texts, bounds and metrics that what
// follows refers to by number, resources with their families and series, and what waits.
func (s *Store) Snapshot(dst []byte) []byte {
	dst = append(dst, snapshotVersion)
	dst = binary.AppendUvarint(dst, s.boundary)
	dst = binary.AppendUvarint(dst, uint64(len(s.sources)))
	for _, id := range slices.Sorted(maps.Keys(s.sources)) {
		dst = binary.AppendUvarint(dst, uint64(id))
		dst = binary.AppendUvarint(dst, s.sources[id].epoch)
		dst = binary.AppendUvarint(dst, s.sources[id].sequence)
	}
	number := make([]uint64, len(s.symbols.all)) // of each symbol in use
	dst = binary.AppendUvarint(dst, uint64(len(s.symbols.ids)))
	for id, n := 1, uint64(0); id < len(s.symbols.all); id++ {
		if s.symbols.all[id].uses > 0 {
			number[id] = n
			n++
			dst = appendText(dst, s.symbols.all[id].text)
		}
	}
	bounds := make(map[*Bounds]uint64, len(s.bounds))
	dst = binary.AppendUvarint(dst, uint64(len(s.bounds)))
	for encoded, b := range s.bounds {
		bounds[b] = uint64(len(bounds))
		dst = appendText(dst, encoded)
	}
	metrics := make(map[*Metric]uint64, len(s.metrics))
	dst = binary.AppendUvarint(dst, uint64(len(s.metrics)))
	for i, m := range s.metrics {
		metrics[m] = uint64(i)
		dst = appendText(dst, m.Name)
		dst = appendText(dst, m.Unit)
		dst = append(dst, byte(m.Kind))
	}
	numbers := make(map[*Series]uint64, len(s.waiting))
	for i := range s.waiting {
		numbers[s.waiting[i].series] = math.MaxUint64
	}
	n := uint64(0)
	dst = binary.AppendUvarint(dst, uint64(len(s.resources)))
	for _, r := range s.resources {
		dst = binary.AppendUvarint(dst, uint64(len(r.attributes)))
		for _, p := range r.attributes {
			dst = binary.AppendUvarint(dst, number[p.key])
			dst = binary.AppendUvarint(dst, number[p.value])
		}
		dst = binary.AppendUvarint(dst, uint64(len(r.Families)))
		for _, f := range r.Families {
			dst = binary.AppendUvarint(dst, metrics[f.Metric])
			dst = binary.AppendUvarint(dst, uint64(len(f.Series)))
			for _, x := range f.Series {
				dst = s.appendSeries(dst, x, number, bounds)
				if len(numbers) > 0 {
					if _, found := numbers[x]; found {
						numbers[x] = n
					}
				}
				n++
			}
		}
	}
	alive := 0
	for i := range s.waiting {
		if s.waiting[i].series.family != nil {
			alive++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(alive))
	for i := range s.waiting {
		if w := &s.waiting[i]; w.series.family != nil {
			dst = binary.AppendUvarint(dst, numbers[w.series])
			dst = binary.AppendUvarint(dst, w.since)
			dst = appendExemplar(dst, &w.exemplar)
		}
	}
	return s.kept.Snapshot(dst)
}

func appendText(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func (s *Store) appendSeries(dst []byte, x *Series, number []uint64, bounds map[*Bounds]uint64) []byte {
	flags := byte(0)
	if x.changed {
		flags |= flagChanged
	}
	b := x.Buckets
	switch {
	case b != nil && b.Bounds != nil:
		flags |= flagExplicit
	case b != nil:
		flags |= flagExponential
	}
	dst = append(dst, flags)
	pairs := 0
	for rest := x.key; rest != ""; pairs++ {
		_, rest = cutPair(rest)
	}
	dst = binary.AppendUvarint(dst, uint64(pairs))
	for rest := x.key; rest != ""; {
		var p pair
		p, rest = cutPair(rest)
		dst = binary.AppendUvarint(dst, number[p.key])
		dst = binary.AppendUvarint(dst, number[p.value])
	}
	dst = binary.AppendUvarint(dst, x.Start)
	dst = binary.AppendUvarint(dst, x.updated)
	dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(x.Value))
	dst = binary.AppendUvarint(dst, x.Count)
	if b != nil {
		if b.Bounds != nil {
			dst = binary.AppendUvarint(dst, bounds[b.Bounds])
		} else {
			dst = binary.AppendUvarint(dst, b.Zero)
			dst = binary.AppendVarint(dst, int64(b.Scale))
			dst = binary.AppendVarint(dst, int64(b.Offset))
		}
		dst = binary.AppendUvarint(dst, uint64(len(b.Counts)))
		for _, n := range b.Counts {
			dst = binary.AppendUvarint(dst, n)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(len(x.Exemplars)))
	for i := range x.Exemplars {
		dst = appendExemplar(dst, &x.Exemplars[i])
	}
	return dst
}

func appendExemplar(dst []byte, e *Exemplar) []byte {
	dst = append(dst, e.TraceID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, e.SpanID)
	dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(e.Value))
	dst = binary.BigEndian.AppendUint64(dst, e.Time)
	fresh := byte(0)
	if e.Fresh {
		fresh = 1
	}
	return append(dst, fresh)
}

// Restore replaces the state by that of a snapshot. Limits that have become lower meanwhile hold for what comes.
func (s *Store) Restore(snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] != snapshotVersion {
		return fmt.Errorf("snapshot of series of an unknown version (expected %d)", snapshotVersion)
	}
	fresh := New(s.options)
	r := reader{rest: snapshot[1:], store: fresh}
	r.read()
	if r.failed {
		return errSnapshot
	}
	rest, err := fresh.kept.Restore(r.rest)
	if err != nil {
		return fmt.Errorf("snapshot of series: %w", err)
	}
	if len(rest) != 0 {
		return errSnapshot
	}
	*s = *fresh
	return nil
}

// reader takes a snapshot apart. After a failure everything it gives is zero.
type reader struct {
	rest   []byte
	failed bool
	store  *Store

	texts   []string
	bounds  [][]byte
	metrics []*Metric
	all     []*Series
}

func (r *reader) read() {
	s := r.store
	s.boundary = r.uvarint()
	for range r.count(3) {
		s.sources[uint32(r.uvarint())] = source{epoch: r.uvarint(), sequence: r.uvarint()}
	}
	for range r.count(1) {
		r.texts = append(r.texts, string(r.bytes(r.uvarint())))
	}
	for range r.count(1) {
		encoded := r.bytes(r.uvarint())
		if !otlp.ValidBounds(encoded) {
			r.failed = true
		}
		r.bounds = append(r.bounds, encoded)
	}
	for range r.count(3) {
		name, unit, kind := string(r.bytes(r.uvarint())), string(r.bytes(r.uvarint())), catalog.Kind(r.byte())
		if _, twice := s.byName[metricKey{name: name, unit: unit, kind: kind}]; twice || kind > catalog.Info || len(r.metrics) >= maxMetrics {
			r.failed = true
			return
		}
		r.metrics = append(r.metrics, s.newMetric(name, unit, kind))
	}
	for range r.count(2) {
		r.resource()
	}
	for range r.count(exemplarBytes - 4) {
		w := waitingExemplar{series: pick(r, r.all), since: r.uvarint(), exemplar: r.exemplar()}
		if r.failed || len(s.waiting) >= maxWaiting {
			r.failed = true
			return
		}
		s.waiting = append(s.waiting, w)
	}
}

func (r *reader) resource() {
	s := r.store
	pairs := r.pairs()
	key := []byte(nil)
	for _, p := range pairs {
		key = appendPair(key, p)
	}
	if _, twice := s.byKey[string(key)]; twice || r.failed {
		r.failed = true
		return
	}
	to := s.newResource(pairs)
	for range r.count(2) {
		m := pick(r, r.metrics)
		series := r.count(13)
		if r.failed || series == 0 || slices.ContainsFunc(to.Families, func(f *Family) bool { return f.Metric == m }) {
			r.failed = true
			return
		}
		f := s.family(to, m)
		for range series {
			if !r.series(f) {
				return
			}
		}
	}
	if len(to.Families) == 0 {
		r.failed = true // Such a resource would stay for ever.
	}
}

func (r *reader) series(f *Family) bool {
	s := r.store
	flags := r.byte()
	pairs := r.pairs()
	key := []byte(nil)
	for _, p := range pairs {
		key = appendPair(key, p)
	}
	index := seriesKey{family: f, attributes: string(key)}
	if s.series[index] != nil || r.failed {
		r.failed = true
		return false
	}
	x := s.newSeries(f, pairs)
	x.changed = flags&flagChanged != 0
	s.changed = s.changed || x.changed
	x.Start, x.updated, x.Value, x.Count = r.uvarint(), r.uvarint(), r.double(), r.uvarint()
	if flags&(flagExplicit|flagExponential) != 0 {
		r.buckets(x, flags)
	}
	s.bytes += x.Buckets.size()
	for range r.count(exemplarBytes - 4) {
		e := r.exemplar()
		if b := x.Buckets; b != nil && b.Bounds != nil {
			e.Bucket = uint16(b.Bounds.bucket(e.Value))
		}
		x.Exemplars = append(x.Exemplars, e)
		s.bytes += exemplarBytes
	}
	r.all = append(r.all, x)
	return !r.failed
}

func (r *reader) buckets(x *Series, flags byte) {
	b := &Buckets{}
	want := 0
	if flags&flagExplicit != 0 {
		encoded := pick(r, r.bounds)
		if r.failed {
			return
		}
		b.Bounds = r.store.useBounds(encoded)
		want = len(encoded)/8 + 1
	} else {
		b.Zero = r.uvarint()
		scale, offset := r.varint(), r.varint()
		if scale < -64 || scale > otlp.MaxScale || offset < -otlp.MaxIndex || offset > otlp.MaxIndex {
			r.failed = true
		}
		b.Scale, b.Offset = int32(scale), int32(offset)
	}
	n := r.count(1)
	if r.failed || x.family.Metric.Kind != catalog.Histogram || b.Bounds != nil && n != want || b.Bounds == nil && n > maxExponential {
		r.failed = true
		return
	}
	b.Counts = make([]uint64, n)
	for i := range b.Counts {
		b.Counts[i] = r.uvarint()
	}
	x.Buckets = b
}

// pairs reads attributes and takes their symbols in use.
func (r *reader) pairs() (pairs []pair) {
	for range r.count(2) {
		key, value := pick(r, r.texts), pick(r, r.texts)
		if r.failed || !otlp.Value(value).Valid() {
			r.failed = true
			return nil
		}
		pairs = append(pairs, pair{key: r.store.use(key), value: r.store.use(value)})
	}
	return pairs
}

func (r *reader) exemplar() (e Exemplar) {
	copy(e.TraceID[:], r.bytes(16))
	e.SpanID, e.Value, e.Time, e.Fresh = r.uint64(), r.double(), r.uint64(), r.byte() == 1
	return e
}

// count reads a number of things that take at least so many bytes each.
func (r *reader) count(least int) int {
	n := r.uvarint()
	if n > uint64(len(r.rest)/least) {
		r.failed = true
		return 0
	}
	return int(n)
}

// pick reads a number and gives what it stands for.
func pick[T any](r *reader, from []T) (one T) {
	n := r.uvarint()
	if r.failed || n >= uint64(len(from)) {
		r.failed = true
		return one
	}
	return from[n]
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed = true
		r.rest = nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.failed = true
		r.rest = nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.failed = true
		r.rest = nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) double() float64 {
	v := math.Float64frombits(r.uint64())
	if math.IsNaN(v) {
		r.failed = true
	}
	return v
}
