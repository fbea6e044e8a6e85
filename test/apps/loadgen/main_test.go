package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"
)

func TestRunIsExact(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	ids := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		id := r.URL.Query().Get("id")
		ids[id]++
		if id == "x7" {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, "four")
	}))
	target, _ := url.Parse(server.URL + "/a?n=1")
	r := run(target, 8, 501, "x", &http.Client{Timeout: 10 * time.Second})
	if r.Requests != 501 || r.Failed != 0 || r.Bytes != 4*501 || r.Statuses["200"] != 500 || r.Statuses["418"] != 1 || len(ids) != 501 {
		t.Errorf("%+v, %d ids", r, len(ids))
	}
	if l := r.Latency; l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.Max {
		t.Errorf("%+v", l)
	}
	server.Close()
	if r := run(target, 2, 5, "x", &http.Client{Timeout: time.Second}); r.Failed != 5 || r.Requests != 0 || r.FirstFail == "" {
		t.Errorf("%+v", r)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(i+1) * time.Millisecond
	}
	for q, want := range map[float64]float64{0.5: 50, 0.9: 90, 0.99: 99, 1: 100, 0: 1} {
		if got := quantile(times, q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}
