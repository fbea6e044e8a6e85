package scrape

import (
	"cmp"
	"io"
	"slices"

	"github.com/prometheus/common/expfmt"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/series"
)

// family is a metric as Prometheus sees it: of every partition together.
type family struct {
	name, help string
	kind       catalog.Kind
	// metrics of the stores that have series of it.
	members []member
}

type member struct {
	from   *Processor
	metric *series.Metric
}

// write writes the series of the processors that may be seen, each metric once, ordered by name. It gives the number of
// series. Text is gathered for one metric of one partition at a time, protobuf for one metric, so that a slow scraper
// holds up nobody.
func write(out io.Writer, format expfmt.Format, from []*Processor) (n int, err error) {
	families := gather(from)
	switch format.FormatType() {
	case expfmt.TypeOpenMetrics:
		return (&text{out: out, open: true}).write(families)
	case expfmt.TypeProtoDelim:
		return (&wire{out: out}).write(families)
	default:
		return (&text{out: out}).write(families)
	}
}

// gather finds what there is. Metrics of different kinds that have the same name are one mistake too many for a
// scraper: the first counts.
func gather(from []*Processor) []*family {
	byName := map[string]*family{}
	var all []*family
	for _, p := range from {
		p.view(func(s *series.Store) {
			for _, m := range s.Metrics() {
				if len(m.Families) == 0 {
					continue
				}
				name, help := describe(m)
				f := byName[name]
				if f == nil {
					f = &family{name: name, help: help, kind: m.Kind}
					byName[name] = f
					all = append(all, f)
				}
				if f.kind == m.Kind {
					f.members = append(f.members, member{from: p, metric: m})
				}
			}
		})
	}
	slices.SortFunc(all, func(a, b *family) int { return cmp.Compare(a.name, b.name) })
	return all
}

// each calls read with every series of a member, and the labels that it has.
func (m *member) each(l *labels, read func(s *series.Store, x *series.Series, labels []label)) {
	m.from.view(func(s *series.Store) {
		for _, f := range m.metric.Families {
			l.resource(s, f.Resource, m.metric.Kind == catalog.Info)
			for _, x := range f.Series {
				read(s, x, l.of(s, x))
			}
		}
	})
}
