// Package live is the screen of `millrace run`: services with their rates, errors and latencies, and a tail of recent
// traces as trees. The model is plain Go over spans and an injected time; the terminal around it is thin.
package live

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"

	"millrace.dev/cmd/millrace/internal/spanview"
)

// Limits of what the screen keeps. Beyond them the least recent is dropped: this is a window on the traffic, not an
// account of it.
const (
	windowSeconds  = 10
	maxRows        = 512
	maxTraces      = 256
	maxTraceSpans  = 64
	settleTime     = 1500 * time.Millisecond
	keptTraces     = 16
	subBucketBits  = 3
	latencyBuckets = 64 << subBucketBits
)

// Row is a line of the table of services.
type Row struct {
	Service, Protocol string
	Kind              millracev1.SpanKind
	// Rate is spans per second, ErrorRate the share of failed ones (0 to 1), over the last ten seconds.
	Rate, ErrorRate float64
	P50, P95, P99   time.Duration
	// Total counts spans since the start.
	Total uint64
}

type rowKey struct {
	service, protocol string
	kind              millracev1.SpanKind
}

type second struct {
	at            int64
	count, failed uint64
	latency       [latencyBuckets]uint32
}

type row struct {
	total    uint64
	lastSeen time.Time
	seconds  [windowSeconds]second
}

type trace struct {
	spans    []spanview.Span
	lastSeen time.Time
	cut      int
}

// Model aggregates spans. Not safe for concurrent use.
type Model struct {
	rows   map[rowKey]*row
	open   map[[16]byte]*trace
	recent []Trace // newest last
	start  time.Time
	total  uint64
}

// Trace is a finished trace as text.
type Trace struct {
	ID    [16]byte
	Lines []string
	Spans int
}

// NewModel begins a model at now.
func NewModel(now time.Time) *Model {
	return &Model{rows: map[rowKey]*row{}, open: map[[16]byte]*trace{}, start: now}
}

// Total is the number of spans added.
func (m *Model) Total() uint64 { return m.total }

// Add takes a span into account. whole gives all of it, and is called only for the few whose traces may be shown; a
// span that it fails to give is counted all the same.
func (m *Model) Add(now time.Time, head *spanview.Head, whole func(*spanview.Head) (spanview.Span, error)) {
	m.total++
	m.addRow(now, head)
	m.addTrace(now, head, whole)
}

func (m *Model) addRow(now time.Time, s *spanview.Head) {
	key := rowKey{s.Service, s.Protocol, s.Kind}
	r := m.rows[key]
	if r == nil {
		if len(m.rows) >= maxRows {
			m.dropOldestRow()
		}
		r = &row{}
		m.rows[key] = r
	}
	r.total++
	r.lastSeen = now
	at := now.Unix()
	slot := &r.seconds[at%windowSeconds]
	if slot.at != at {
		*slot = second{at: at}
	}
	slot.count++
	if s.Failed {
		slot.failed++
	}
	slot.latency[bucket(s.Duration)]++
}

func (m *Model) dropOldestRow() {
	var oldest rowKey
	var when time.Time
	for key, r := range m.rows {
		if when.IsZero() || r.lastSeen.Before(when) {
			oldest, when = key, r.lastSeen
		}
	}
	delete(m.rows, oldest)
}

func (m *Model) addTrace(now time.Time, s *spanview.Head, whole func(*spanview.Head) (spanview.Span, error)) {
	t := m.open[s.TraceID]
	if t == nil {
		if len(m.open) >= maxTraces {
			return // busy: the tail shows a sample of the traces
		}
	} else if len(t.spans) >= maxTraceSpans {
		t.lastSeen = now
		t.cut++
		return
	}
	span, err := whole(s)
	if err != nil {
		return
	}
	if t == nil {
		t = &trace{}
		m.open[s.TraceID] = t
	}
	t.lastSeen = now
	t.spans = append(t.spans, span)
}

// Tick finishes traces that have been silent for a while. Traces of several spans are preferred to single ones in the
// tail.
func (m *Model) Tick(now time.Time) {
	type finished struct {
		id [16]byte
		t  *trace
	}
	var done []finished
	for id, t := range m.open {
		if now.Sub(t.lastSeen) >= settleTime {
			done = append(done, finished{id, t})
			delete(m.open, id)
		}
	}
	slices.SortFunc(done, func(a, b finished) int {
		if c := cmp.Compare(len(a.t.spans), len(b.t.spans)); c != 0 {
			return c
		}
		return a.t.spans[0].Start.Compare(b.t.spans[0].Start)
	})
	if len(done) > keptTraces {
		done = done[len(done)-keptTraces:]
	}
	for _, d := range done {
		m.recent = append(m.recent, Trace{ID: d.id, Lines: spanview.Tree(d.t.spans), Spans: len(d.t.spans) + d.t.cut})
	}
	if len(m.recent) > keptTraces {
		m.recent = slices.Delete(m.recent, 0, len(m.recent)-keptTraces)
	}
}

// Recent gives the tail of finished traces, newest last. The slice belongs to the model.
func (m *Model) Recent() []Trace { return m.recent }

// Rows gives the table at now, the busiest first, servers before clients.
func (m *Model) Rows(now time.Time) []Row {
	rows := make([]Row, 0, len(m.rows))
	span := min(max(now.Sub(m.start).Seconds(), 1), windowSeconds)
	for key, r := range m.rows {
		var sum second
		for i := range r.seconds {
			s := &r.seconds[i]
			if now.Unix()-s.at >= windowSeconds {
				continue
			}
			sum.count += s.count
			sum.failed += s.failed
			for b, n := range s.latency {
				sum.latency[b] += n
			}
		}
		out := Row{Service: key.service, Protocol: key.protocol, Kind: key.kind, Total: r.total, Rate: float64(sum.count) / span}
		if sum.count > 0 {
			out.ErrorRate = float64(sum.failed) / float64(sum.count)
			out.P50 = quantile(&sum, 0.50)
			out.P95 = quantile(&sum, 0.95)
			out.P99 = quantile(&sum, 0.99)
		}
		rows = append(rows, out)
	}
	slices.SortFunc(rows, func(a, b Row) int {
		if c := cmp.Compare(a.Kind, b.Kind); c != 0 { // server is 2, client is 3
			return c
		}
		if c := cmp.Compare(b.Rate, a.Rate); c != 0 {
			return c
		}
		if c := cmp.Compare(b.Total, a.Total); c != 0 {
			return c
		}
		return cmp.Compare(a.Service+a.Protocol, b.Service+b.Protocol)
	})
	return rows
}

// bucket is log-linear: eight buckets for each doubling, so a quantile is at most 12.5 % above the truth.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < 1<<subBucketBits {
		return int(v)
	}
	exponent := bits.Len64(v) - 1 - subBucketBits
	return (exponent+1)<<subBucketBits | int(v>>exponent&(1<<subBucketBits-1))
}

// upper is the largest duration of a bucket.
func upper(b int) time.Duration {
	if b < 1<<subBucketBits {
		return time.Duration(b)
	}
	exponent := b>>subBucketBits - 1
	low := uint64(1<<subBucketBits|b&(1<<subBucketBits-1)) << exponent
	return time.Duration(low + 1<<exponent - 1)
}

func quantile(s *second, q float64) time.Duration {
	rank := uint64(q * float64(s.count))
	var seen uint64
	for b, n := range s.latency {
		seen += uint64(n)
		if seen > rank {
			return upper(b)
		}
	}
	return 0
}
