package chaos

import (
	"fmt"
	"maps"
	"time"

	"millrace.dev/test/internal/backend"
)

// points compares the points that exporters sent with the truth. It waits for the boundary after the last delta, and
// then for those at which what is too much would show.
func (d *deployment) points(v *comparison, want map[string]measured) {
	d.t.Helper()
	var all backend.Points
	var got map[string]measured
	look := func() bool {
		all = d.backend.Points()
		got = totals(&all)
		if d.ignore != nil {
			maps.DeleteFunc(got, func(name string, _ measured) bool { _, found := want[name]; return !found })
		}
		return len(unlike(want, got)) == 0
	}
	for end := time.Now().Add(30 * time.Second); !look() && time.Now().Before(end); {
		time.Sleep(200 * time.Millisecond)
	}
	time.Sleep(2*exportInterval + time.Second)
	look()
	for _, name := range unlike(want, got) {
		v.note("wrong points", "%s: %+v, want %+v", name, got[name], want[name])
	}
	for _, mistake := range all.Mistakes {
		v.note("contradictory points", "%s", mistake)
	}
	for _, s := range all.Series {
		if s.Starts() > 1 { // What an exporter has added up outlives it.
			v.note("series that began anew", "%s %v, %d times", s.Name, s.Attributes, s.Starts())
		}
	}
	if all.Repeated > 0 && !d.repeats {
		v.note("repeated points", "%d, although no exporter was killed", all.Repeated)
	}
	v.metrics += fmt.Sprintf("; %d points, %d repeated", all.Received, all.Repeated)
}

// totals gives what the points of counters and histograms come to. Gauges say what there is, not how often.
func totals(all *backend.Points) map[string]measured {
	series := map[string]measured{}
	for _, s := range all.Series {
		if s.Gauge {
			continue
		}
		count, value := s.Total()
		if count == 0 { // A counter has no sum beside its value.
			count, value = uint64(value), 0
		}
		name := seriesName(s.Name, s.Attribute)
		m := series[name]
		series[name] = measured{m.count + count, m.sum + value}
	}
	return series
}
