package scrape

import (
	"encoding/hex"
	"io"
	"math"
	"strconv"
	"strings"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/series"
)

// text writes OpenMetrics text (https://prometheus.io/docs/specs/om/open_metrics_spec/), or Prometheus' own older
// format (https://prometheus.io/docs/instrumenting/exposition_formats/). The library's encoders take messages that cost
// several times as much to make as the text, see the benchmarks.
type text struct {
	out  io.Writer
	open bool

	labels  labels
	buffer  []byte
	encoded []byte // labels of the series at hand
	// uppers are the texts of bounds.
	uppers map[*series.Bounds][]string
}

func (t *text) write(families []*family) (n int, err error) {
	t.uppers = map[*series.Bounds][]string{}
	for _, f := range families {
		t.head(f)
		for i := range f.members {
			f.members[i].each(&t.labels, func(_ *series.Store, x *series.Series, labels []label) {
				n++
				t.series(f, x, labels)
			})
			if _, err := t.out.Write(t.buffer); err != nil {
				return n, err
			}
			t.buffer = t.buffer[:0]
		}
		clear(t.uppers) // Bounds may be gone by now, and others in their place.
	}
	if t.open {
		_, err = io.WriteString(t.out, "# EOF\n")
	}
	return n, err
}

// head begins a metric. OpenMetrics names counters without their suffix.
func (t *text) head(f *family) {
	name, kind := f.name, "gauge"
	switch f.kind {
	case catalog.Counter:
		kind = "counter"
		if t.open {
			name = strings.TrimSuffix(name, "_total")
		}
	case catalog.Histogram:
		kind = "histogram"
	case catalog.Info:
	}
	t.buffer = append(t.buffer, "# HELP "+name+" "...)
	t.buffer = appendEscaped(t.buffer, f.help, t.open)
	t.buffer = append(t.buffer, "\n# TYPE "+name+" "+kind+"\n"...)
}

func (t *text) series(f *family, x *series.Series, labels []label) {
	t.encoded = t.encoded[:0]
	for i := range labels {
		if i > 0 {
			t.encoded = append(t.encoded, ',')
		}
		t.encoded = append(t.encoded, labels[i].name...)
		t.encoded = append(t.encoded, `="`...)
		t.encoded = appendEscaped(t.encoded, labels[i].value, true)
		t.encoded = append(t.encoded, '"')
	}
	if f.kind == catalog.Histogram {
		t.histogram(f.name, x)
		return
	}
	name := f.name
	if t.open && f.kind == catalog.Counter && !strings.HasSuffix(name, "_total") {
		name += "_total"
	}
	t.sample(name, "", "")
	t.buffer = t.number(t.buffer, x.Value)
	if f.kind == catalog.Counter && len(x.Exemplars) > 0 {
		t.exemplar(&x.Exemplars[0])
	}
	t.buffer = append(t.buffer, '\n')
}

// histogram writes the buckets, which are cumulative. Exponential ones have no form in text: what is left of them is
// the number and the sum.
func (t *text) histogram(name string, x *series.Series) {
	total := uint64(0)
	if b := x.Buckets; b != nil && b.Bounds != nil {
		uppers := t.upper(b.Bounds)
		for i, upper := range uppers {
			total += b.Counts[i]
			t.bucket(name, upper, total, x, i)
		}
		t.bucket(name, "+Inf", x.Count, x, len(uppers))
	} else {
		t.bucket(name, "+Inf", x.Count, x, -1)
	}
	t.sample(name, "_sum", "")
	t.buffer = t.number(t.buffer, x.Value)
	t.buffer = append(t.buffer, '\n')
	t.sample(name, "_count", "")
	t.buffer = strconv.AppendUint(t.buffer, x.Count, 10)
	t.buffer = append(t.buffer, '\n')
}

func (t *text) bucket(name, upper string, count uint64, x *series.Series, index int) {
	t.sample(name, "_bucket", upper)
	t.buffer = strconv.AppendUint(t.buffer, count, 10)
	newest := -1
	for i := range x.Exemplars {
		if (index < 0 || int(x.Exemplars[i].Bucket) == index) && (newest < 0 || x.Exemplars[i].Time > x.Exemplars[newest].Time) {
			newest = i
		}
	}
	if newest >= 0 {
		t.exemplar(&x.Exemplars[newest])
	}
	t.buffer = append(t.buffer, '\n')
}

// sample writes a line up to its value.
func (t *text) sample(name, suffix, upper string) {
	b := t.buffer
	b = append(b, name...)
	b = append(b, suffix...)
	b = append(b, '{')
	b = append(b, t.encoded...)
	if upper != "" {
		b = append(b, `,le="`...)
		b = append(b, upper...)
		b = append(b, '"')
	}
	b = append(b, "} "...)
	t.buffer = b
}

func (t *text) exemplar(e *series.Exemplar) {
	if !t.open {
		return // The older format has none.
	}
	b := t.buffer
	b = append(b, ` # {trace_id="`...)
	b = hex.AppendEncode(b, e.TraceID[:])
	b = append(b, `",span_id="`...)
	b = appendSpan(b, e.SpanID)
	b = append(b, `"} `...)
	b = t.number(b, e.Value)
	b = append(b, ' ')
	b = strconv.AppendFloat(b, float64(e.Time)/1e9, 'f', 3, 64)
	t.buffer = b
}

func appendSpan(b []byte, id uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		b = append(b, digits[id>>shift&15])
	}
	return b
}

// upper gives the texts of bounds.
func (t *text) upper(b *series.Bounds) []string {
	texts, found := t.uppers[b]
	if !found {
		for _, v := range b.Upper {
			texts = append(texts, string(t.number(nil, v)))
		}
		t.uppers[b] = texts
	}
	return texts
}

// number writes a value; OpenMetrics wants to see that bounds are no integers.
func (t *text) number(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	}
	from := len(b)
	b = strconv.AppendFloat(b, v, 'g', -1, 64)
	if t.open && !strings.ContainsAny(string(b[from:]), "e.N") {
		b = append(b, ".0"...)
	}
	return b
}

// appendEscaped escapes what may not stand in a label's value; in the help text of the older format quotes stay.
func appendEscaped(b []byte, s string, quotes bool) []byte {
	if strings.IndexByte(s, '\\') < 0 && strings.IndexByte(s, '\n') < 0 && (!quotes || strings.IndexByte(s, '"') < 0) {
		return append(b, s...)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b = append(b, `\\`...)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '"' && quotes:
			b = append(b, `\"`...)
		default:
			b = append(b, c)
		}
	}
	return b
}
