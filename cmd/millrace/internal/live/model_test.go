package live

import (
	"strings"
	"testing"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"

	"millrace.dev/cmd/millrace/internal/servicefeed"
	"millrace.dev/cmd/millrace/internal/spanview"
)

func add(m *Model, now time.Time, s spanview.Span) {
	m.Add(now, &spanview.Head{TraceID: s.TraceID, Kind: s.Kind, Service: s.Service, Protocol: s.Protocol, Failed: s.Failed, Duration: s.Duration},
		func(*spanview.Head) (spanview.Span, error) { return s, nil })
}

func TestRowsOverTheWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := NewModel(now)
	for s := range 20 {
		at := now.Add(time.Duration(s) * time.Second)
		for i := range 10 {
			add(m, at, spanview.Span{
				Service: "shop", Protocol: "http", Kind: millracev1.SpanKind_SPAN_KIND_SERVER, Failed: i == 0,
				Duration: time.Duration(i+1) * time.Millisecond,
			})
		}
	}
	rows := m.Rows(now.Add(19 * time.Second))
	if len(rows) != 1 {
		t.Fatalf("got %d rows", len(rows))
	}
	r := rows[0]
	if r.Rate != 10 || r.ErrorRate != 0.1 || r.Total != 200 {
		t.Errorf("rate %v, errors %v, total %d", r.Rate, r.ErrorRate, r.Total)
	}
	if r.P50 < 6*time.Millisecond || r.P50 > 6*time.Millisecond*9/8 {
		t.Errorf("p50 %v", r.P50)
	}
	if rows := m.Rows(now.Add(40 * time.Second)); rows[0].Rate != 0 {
		t.Errorf("rate %v after silence", rows[0].Rate)
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{-5, 0, 1, 7, 8, 9, 15, 16, 1000, 123456789, time.Hour, 1<<63 - 1} {
		b := bucket(d)
		if b < 0 || b >= latencyBuckets {
			t.Fatalf("%d: bucket %d", d, b)
		}
		if u := upper(b); d >= 0 && (u < d || float64(u) > float64(d)*1.126) {
			t.Errorf("%d: bucket %d ends at %d", d, b, u)
		}
	}
}

func TestTracesSettle(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := NewModel(now)
	add(m, now, spanview.Span{TraceID: [16]byte{1}, SpanID: 1, Service: "web", Summary: "GET /"})
	m.Tick(now.Add(time.Second))
	if len(m.Recent()) != 0 {
		t.Fatal("finished too early")
	}
	add(m, now.Add(time.Second), spanview.Span{TraceID: [16]byte{1}, SpanID: 2, ParentID: 1, Service: "shop", Summary: "GET /"})
	m.Tick(now.Add(4 * time.Second))
	if r := m.Recent(); len(r) != 1 || r[0].Spans != 2 {
		t.Fatalf("got %+v", r)
	}
	screen := Render(m, Status{Node: "n"}, now.Add(4*time.Second), 100, 30)
	if !strings.Contains(screen, "└─ shop") {
		t.Errorf("no tree in\n%s", screen)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := NewModel(now)
	for i := range 5000 {
		var id [16]byte
		id[0], id[1] = byte(i), byte(i>>8)
		add(m, now, spanview.Span{TraceID: id, Service: strings.Repeat("x", i%700)})
	}
	if len(m.open) > maxTraces || len(m.rows) > maxRows {
		t.Errorf("%d traces, %d rows", len(m.open), len(m.rows))
	}
	if lines := strings.Count(Render(m, Status{}, now, 80, 24), "\n") + 1; lines > 24 {
		t.Errorf("%d lines", lines)
	}
}

func TestServicesWithoutTraffic(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	m := NewModel(now)
	add(m, now, spanview.Span{Service: "shop", Kind: millracev1.SpanKind_SPAN_KIND_SERVER})
	services := []servicefeed.Service{{Name: "shop", Ports: []uint32{80}}, {Name: "redis-server", Ports: []uint32{6379}}}
	screen := Render(m, Status{Services: services}, now, 100, 30)
	if !strings.Contains(screen, "without traffic yet: redis-server:6379") || strings.Contains(screen, "shop:80") {
		t.Errorf("got\n%s", screen)
	}
}
