package series

import (
	"slices"

	"millrace.dev/services/exporter/internal/otlp"
)

// newResource takes pairs whose symbols are in use.
func (s *Store) newResource(pairs []pair) *Resource {
	r := &Resource{attributes: slices.Clone(pairs), place: len(s.resources)}
	key := make([]byte, 0, 8*len(pairs))
	for _, p := range pairs {
		key = appendPair(key, p)
		if value, ok := otlp.Value(s.symbols.text(p.value)).IsText(); !ok || value == "" {
			continue
		}
		switch s.symbols.text(p.key) {
		case keyService:
			r.service = p.value
		case keyNamespace:
			r.namespace = p.value
		}
	}
	r.key = string(key)
	s.resources = append(s.resources, r)
	s.byKey[r.key] = r
	s.bytes += resourceBytes + len(key)
	return r
}

// family of a metric and a resource.
func (s *Store) family(r *Resource, m *Metric) *Family {
	for _, f := range r.Families {
		if f.Metric == m {
			return f
		}
	}
	key := groupKey{metric: m, namespace: r.namespace, service: r.service}
	g := s.groups[key]
	if g == nil {
		g = &group{}
		s.groups[key] = g
	}
	g.families++
	f := &Family{Metric: m, Resource: r, group: g, place: len(r.Families), placeless: len(m.Families)}
	r.Families, m.Families = append(r.Families, f), append(m.Families, f)
	return f
}

// newSeries takes pairs whose symbols are in use.
func (s *Store) newSeries(f *Family, pairs []pair) *Series {
	key := make([]byte, 0, 64)
	for _, p := range pairs {
		key = appendPair(key, p)
	}
	x := &Series{family: f, key: string(key), Start: s.boundary, place: int32(len(f.Series)), overflow: s.isOverflow(pairs)}
	f.Series = append(f.Series, x)
	s.series[seriesKey{family: f, attributes: x.key}] = x
	if !x.overflow {
		f.group.series++
	}
	s.bytes += seriesBytes + len(key)
	return x
}

// isOverflow reports whether attributes are those of a series of overflow, the store's own or one of the enricher.
func (s *Store) isOverflow(pairs []pair) bool {
	return len(pairs) == 1 && s.symbols.text(pairs[0].key) == OverflowAttribute
}

// remove takes a series out, and its family and resource when it was their last.
func (s *Store) remove(x *Series) {
	f := x.family
	delete(s.series, seriesKey{family: f, attributes: x.key})
	last := len(f.Series) - 1
	f.Series[x.place] = f.Series[last]
	f.Series[x.place].place = x.place
	f.Series[last] = nil
	f.Series = f.Series[:last]
	if !x.overflow {
		f.group.series--
	}
	s.bytes -= seriesBytes + len(x.key) + x.Buckets.size() + len(x.Exemplars)*exemplarBytes
	s.releaseBounds(x.Buckets)
	for rest := x.key; rest != ""; {
		var p pair
		p, rest = cutPair(rest)
		s.release(p.key)
		s.release(p.value)
	}
	x.family = nil // Exemplars that wait for it see that it is gone.
	if len(f.Series) == 0 {
		s.removeFamily(f)
	}
}

func (s *Store) removeFamily(f *Family) {
	r, m := f.Resource, f.Metric
	last := len(r.Families) - 1
	r.Families[f.place] = r.Families[last]
	r.Families[f.place].place = f.place
	r.Families[last] = nil
	r.Families = r.Families[:last]
	last = len(m.Families) - 1
	m.Families[f.placeless] = m.Families[last]
	m.Families[f.placeless].placeless = f.placeless
	m.Families[last] = nil
	m.Families = m.Families[:last]
	if f.group.families--; f.group.families == 0 {
		delete(s.groups, groupKey{metric: m, namespace: r.namespace, service: r.service})
	}
	if len(r.Families) > 0 {
		return
	}
	last = len(s.resources) - 1
	s.resources[r.place] = s.resources[last]
	s.resources[r.place].place = r.place
	s.resources[last] = nil
	s.resources = s.resources[:last]
	delete(s.byKey, r.key)
	s.bytes -= resourceBytes + len(r.key)
	for _, p := range r.attributes {
		s.release(p.key)
		s.release(p.value)
	}
}
