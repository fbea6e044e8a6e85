package series

import (
	"bytes"
	"slices"
	"strconv"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/otlp"
)

// schemaVersion is the highest version of messages that is understood.
const schemaVersion = 1

// OverflowAttribute marks the series that has what did not get one of its own, as the metrics SDKs of OpenTelemetry do.
const OverflowAttribute = "otel.metric.overflow"

const (
	keyService    = "service.name"
	keyNamespace  = "service.namespace"
	keyInstance   = "service.instance.id"
	overflowName  = "otel.metric.overflow" // of the service that stands for all when there is no room for more services
	seriesBytes   = 48                     // of a series in a snapshot without its key, buckets and exemplars
	resourceBytes = 24
	symbolBytes   = 4
)

// Apply counts a MetricBatch that was stored at now, nanoseconds since the Unix epoch.
func (s *Store) Apply(message []byte, now uint64) {
	if s.batch.Read(message) != nil || s.batch.Version > schemaVersion || s.batch.Sequence == 0 {
		s.Counts.Malformed++
		return
	}
	if !s.next(&s.batch) {
		return
	}
	s.Counts.Batches++
	for _, r := range s.batch.Resources {
		s.applyResource(r, now)
	}
}

// next reports whether the batch is to be counted, and counts those that are missing before it.
func (s *Store) next(b *otlp.MetricBatch) bool {
	last, known := s.sources[b.Source]
	switch {
	case b.Epoch < last.epoch, b.Epoch == last.epoch && b.Sequence <= last.sequence:
		s.Counts.Duplicates++
		return false
	case !known && len(s.sources) >= maxSources:
		s.Counts.Malformed++
		return false
	case !known:
		// What was before the destination first read is not lost.
	case b.Epoch == last.epoch:
		s.Counts.Lost += b.Sequence - last.sequence - 1
	default:
		s.Counts.Lost += b.Sequence - 1
	}
	s.sources[b.Source] = source{epoch: b.Epoch, sequence: b.Sequence}
	return true
}

func (s *Store) applyResource(r otlp.ResourceDeltas, now uint64) {
	if !s.resource.Read(r.Resource) {
		s.Counts.Malformed++
		return
	}
	attributes := s.resource.Attributes()
	var namespace, name string
	for i := range attributes {
		switch string(attributes[i].Key()) {
		case keyService:
			name = string(attributes[i].Text())
		case keyNamespace:
			namespace = string(attributes[i].Text())
		}
	}
	if !s.options.Filter.Service(namespace, name) {
		s.Counts.Filtered += uint64(len(r.Deltas))
		return
	}
	var known [2]*Resource // with the attributes of a resource that values have, and that infos have
	for _, encoded := range r.Deltas {
		if !s.delta.Read(encoded) {
			s.Counts.Malformed++
			continue
		}
		metric := s.metric()
		if metric == nil {
			continue
		}
		s.info = metric.Kind == catalog.Info
		resource := &known[0]
		if s.info {
			resource = &known[1]
		}
		if *resource == nil {
			*resource = s.findResource(attributes)
		}
		x := s.find(*resource, metric, attributes, namespace, name)
		if !x.overflow {
			*resource = x.family.Resource
		}
		s.Counts.Deltas++
		s.add(x, now)
	}
}

// identity are the attributes that tell the writers of series apart.
var identity = []string{keyService, keyNamespace, keyInstance, "host.name", "process.pid"}

// resourceAttribute reports whether the resource of the delta at hand has an attribute.
func (s *Store) resourceAttribute(key string) bool {
	return s.options.Filter.ResourceAttribute(key) && (!s.options.Identity || s.info || slices.Contains(identity, key))
}

func (s *Store) metricAttribute(key string) bool { return s.options.Filter.MetricAttribute(key) }

// metric of the delta; nil when it is left out.
func (s *Store) metric() *Metric {
	kind := catalog.Counter
	switch s.delta.Kind {
	case otlp.Histogram, otlp.Exponential:
		kind = catalog.Histogram
	case otlp.Gauge:
		kind = catalog.Info
	case otlp.Sum, otlp.NoValue:
	}
	m, found := s.byName[metricKey{name: string(s.delta.Name), unit: string(s.delta.Unit), kind: kind}]
	if !found {
		if len(s.metrics) >= maxMetrics {
			s.Counts.Malformed++
			return nil
		}
		m = s.newMetric(string(s.delta.Name), string(s.delta.Unit), kind)
	}
	if !s.options.Filter.Metric(m.Name) {
		s.Counts.Filtered++
		return nil
	}
	return m
}

func (s *Store) newMetric(name, unit string, kind catalog.Kind) *Metric {
	m := &Metric{Name: name, Unit: unit, Kind: kind}
	s.metrics = append(s.metrics, m)
	s.byName[metricKey{name: name, unit: unit, kind: kind}] = m
	s.bytes += len(name) + len(unit) + symbolBytes
	return m
}

// findResource gives the resource with the attributes that are not left out, nil if there is none.
func (s *Store) findResource(attributes []otlp.Attribute) *Resource {
	if !s.locate(attributes, s.resourceAttribute) {
		return nil
	}
	return s.byKey[string(s.key)]
}

// locate writes the key of attributes to s.key; false when one of them has no symbol.
func (s *Store) locate(attributes []otlp.Attribute, wanted func(string) bool) bool {
	sortAttributes(attributes)
	s.key = s.key[:0]
	for i := range attributes {
		a := &attributes[i]
		if s.selects && !wanted(string(a.Key())) {
			continue
		}
		s.value = a.AppendValue(s.value[:0])
		p := pair{key: s.symbols.find(a.Key()), value: s.symbols.find(s.value)}
		if p.key == 0 || p.value == 0 {
			return false
		}
		s.key = appendPair(s.key, p)
	}
	return true
}

// sortAttributes orders by key. Writers send them so; a batch that is not must not make other series.
func sortAttributes(attributes []otlp.Attribute) {
	for i := 1; i < len(attributes); i++ {
		if bytes.Compare(attributes[i-1].Key(), attributes[i].Key()) > 0 {
			slices.SortFunc(attributes, func(a, b otlp.Attribute) int { return bytes.Compare(a.Key(), b.Key()) })
			return
		}
	}
}

// find gives the series of the delta, made if there is room for it, else that of overflow.
func (s *Store) find(r *Resource, m *Metric, resource []otlp.Attribute, namespace, name string) *Series {
	if r != nil && s.locate(s.delta.Attributes, s.metricAttribute) {
		for _, f := range r.Families {
			if f.Metric == m {
				if x := s.series[seriesKey{family: f, attributes: string(s.key)}]; x != nil {
					return x
				}
				break
			}
		}
	}
	full := len(s.series) >= s.options.MaxSeries || s.bytes >= s.options.MaxBytes
	if !full && (s.room(m, namespace, name) || s.overflowing()) {
		if r == nil {
			r = s.newResource(s.intern(resource, s.resourceAttribute))
		}
		return s.newSeries(s.family(r, m), s.intern(s.delta.Attributes, s.metricAttribute))
	}
	s.Counts.Overflow++
	return s.overflow(m, namespace, name, full)
}

// room reports whether the metric of the service may have one more series.
func (s *Store) room(m *Metric, namespace, name string) bool {
	key := groupKey{metric: m, namespace: s.textSymbol(namespace), service: s.textSymbol(name)}
	if namespace != "" && key.namespace == 0 || name != "" && key.service == 0 {
		return true // Nothing of it is known yet.
	}
	g := s.groups[key]
	return g == nil || g.series < s.options.CardinalityLimit
}

// overflowing reports whether the delta at hand is already of what did not get a series of its own.
func (s *Store) overflowing() bool {
	return len(s.delta.Attributes) == 1 && string(s.delta.Attributes[0].Key()) == OverflowAttribute
}

// textSymbol gives the symbol of a value that is text, 0 if there is none.
func (s *Store) textSymbol(value string) symbol {
	if value == "" {
		return 0
	}
	return s.symbols.ids[string(otlp.TextValue(value))]
}

// overflow gives the series that has what did not get one of its own: of the metric of the service, and when there is
// no room even for new ones of those, of the metric of everything in the partition. So their number is bounded too.
func (s *Store) overflow(m *Metric, namespace, name string, full bool) *Series {
	attributes := make([]Attribute, 0, 3)
	if namespace != "" {
		attributes = append(attributes, Attribute{keyNamespace, otlp.TextValue(namespace)})
	}
	if name != "" {
		attributes = append(attributes, Attribute{keyService, otlp.TextValue(name)})
	}
	if x := s.overflowOf(m, attributes, !full); x != nil {
		return x
	}
	return s.overflowOf(m, []Attribute{
		{keyInstance, otlp.TextValue("partition-" + strconv.Itoa(s.options.Partition))}, {keyService, otlp.TextValue(overflowName)},
	}, true)
}

func (s *Store) overflowOf(m *Metric, attributes []Attribute, create bool) *Series {
	slices.SortFunc(attributes, func(a, b Attribute) int { return cmpText(a.Key, b.Key) })
	s.key = s.key[:0]
	known := true
	for _, a := range attributes {
		p := pair{key: s.symbols.ids[a.Key], value: s.symbols.ids[string(a.Value)]}
		known = known && p.key != 0 && p.value != 0
		s.key = appendPair(s.key, p)
	}
	var r *Resource
	if known {
		r = s.byKey[string(s.key)]
	}
	mark := Attribute{OverflowAttribute, otlp.BoolValue(true)}
	if p := (pair{key: s.symbols.ids[mark.Key], value: s.symbols.ids[string(mark.Value)]}); r != nil && p.key != 0 && p.value != 0 {
		s.key = appendPair(s.key[:0], p)
		for _, f := range r.Families {
			if f.Metric == m {
				if x := s.series[seriesKey{family: f, attributes: string(s.key)}]; x != nil {
					return x
				}
			}
		}
	}
	if !create {
		return nil
	}
	if r == nil {
		pairs := make([]pair, 0, len(attributes))
		for _, a := range attributes {
			pairs = append(pairs, pair{key: s.use(a.Key), value: s.use(string(a.Value))})
		}
		r = s.newResource(pairs)
	}
	return s.newSeries(s.family(r, m), []pair{{key: s.use(mark.Key), value: s.use(string(mark.Value))}})
}

func cmpText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// intern makes pairs of the attributes that are not left out; their symbols are in use.
func (s *Store) intern(attributes []otlp.Attribute, wanted func(string) bool) []pair {
	sortAttributes(attributes)
	s.pairs = s.pairs[:0]
	for i := range attributes {
		a := &attributes[i]
		if s.selects && !wanted(string(a.Key())) {
			continue
		}
		s.value = a.AppendValue(s.value[:0])
		s.pairs = append(s.pairs, pair{key: s.use(string(a.Key())), value: s.use(string(s.value))})
	}
	return s.pairs
}

func (s *Store) use(text string) symbol {
	id, added := s.symbols.use(text)
	if added {
		s.bytes += len(text) + symbolBytes
	}
	return id
}

func (s *Store) release(id symbol) {
	if gone, length := s.symbols.release(id); gone {
		s.bytes -= length + symbolBytes
	}
}
