package backend

import (
	"strings"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// body is a request with one series of a histogram with two buckets.
func body(t *testing.T, points ...Point) []byte {
	t.Helper()
	metrics := pmetric.NewMetrics()
	rm := metrics.ResourceMetrics().AppendEmpty()
	rm.Resource().Attributes().PutStr("service.name", "shop")
	m := rm.ScopeMetrics().AppendEmpty().Metrics().AppendEmpty()
	m.SetName("duration")
	m.SetEmptyHistogram().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for _, p := range points {
		to := m.Histogram().DataPoints().AppendEmpty()
		to.SetStartTimestamp(pcommon.Timestamp(p.Start))
		to.SetTimestamp(pcommon.Timestamp(p.Time))
		to.SetCount(p.Count)
		to.SetSum(p.Value)
		to.BucketCounts().FromRaw(p.buckets)
		to.ExplicitBounds().FromRaw([]float64{1})
		to.Attributes().PutInt("http.response.status_code", 200)
	}
	data, err := pmetricotlp.NewExportRequestFromMetrics(metrics).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestPointsThatContradictEachOther(t *testing.T) {
	t.Parallel()
	first := Point{10, 20, 3, 5, []uint64{1, 2}}
	for name, c := range map[string]struct {
		points   []Point
		mistake  string
		repeated int
		count    uint64
		value    float64
	}{
		"nothing happened":  {[]Point{first, {10, 30, 3, 5, []uint64{1, 2}}}, "", 0, 3, 5},
		"more":              {[]Point{first, {10, 30, 4, 6, []uint64{1, 3}}}, "", 0, 4, 6},
		"again":             {[]Point{first, {10, 30, 4, 6, []uint64{1, 3}}, first}, "", 1, 4, 6},
		"late":              {[]Point{{10, 30, 4, 6, []uint64{1, 3}}, first}, "", 0, 4, 6},
		"anew":              {[]Point{first, {20, 30, 1, 1, []uint64{0, 1}}}, "", 0, 4, 6},
		"another writer":    {[]Point{first, {10, 20, 4, 6, []uint64{1, 3}}}, "two points of one time", 0, 3, 5},
		"another start":     {[]Point{first, {11, 20, 3, 5, []uint64{1, 2}}}, "two points of one time", 0, 3, 5},
		"count back":        {[]Point{first, {10, 30, 2, 5, []uint64{1, 1}}}, "went back", 0, 2, 5},
		"late, count ahead": {[]Point{{10, 30, 2, 5, []uint64{1, 1}}, first}, "went back", 0, 2, 5},
		"sum back":          {[]Point{first, {10, 30, 3, 4, []uint64{1, 2}}}, "went back", 0, 3, 4},
		"bucket back":       {[]Point{first, {10, 30, 3, 5, []uint64{2, 1}}}, "went back", 0, 3, 5},
		"overlap":           {[]Point{first, {19, 30, 3, 5, []uint64{1, 2}}}, "went back", 0, 6, 10},
		"counts":            {[]Point{{10, 20, 4, 5, []uint64{1, 2}}}, "buckets have 3", 0, 4, 5},
		"no time":           {[]Point{{20, 20, 3, 5, []uint64{1, 2}}}, "starts at its end", 0, 3, 5},
	} {
		b := New()
		for _, p := range c.points {
			if err := b.book.take(body(t, p)); err != nil {
				t.Fatal(err)
			}
		}
		got := b.Points()
		if mistakes := strings.Join(got.Mistakes, "\n"); (mistakes != "") != (c.mistake != "") || !strings.Contains(mistakes, c.mistake) {
			t.Errorf("%s: %q, want %q", name, mistakes, c.mistake)
		}
		if len(got.Series) != 1 || got.Received != len(c.points) || got.Repeated != c.repeated {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		s := got.Series[0]
		if count, value := s.Total(); count != c.count || value != c.value {
			t.Errorf("%s: total %d, %v", name, count, value)
		}
		if s.Attribute("service.name") != "shop" || s.Attribute("http.response.status_code") != "200" {
			t.Errorf("%s: attributes %v %v", name, s.Resource, s.Attributes)
		}
	}
}
