package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"millrace.dev/test/internal/spans"
)

// backend is an OTLP/HTTP backend that notes how old spans are when they come.
type backend struct {
	mu   sync.Mutex
	ages map[int][]time.Duration // by process
	err  error
}

func (x *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	now := time.Now().UnixNano()
	if err == nil {
		var found []*spans.Span
		if found, err = spans.Parse(body); err == nil {
			x.mu.Lock()
			for _, s := range found {
				x.ages[s.PID()] = append(x.ages[s.PID()], time.Duration(now-s.End))
			}
			x.mu.Unlock()
		}
	}
	if err != nil {
		x.mu.Lock()
		x.err = err
		x.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// latency measures the time from the last byte of a response to the arrival of its spans at an OTLP backend.
func (b *bench) latency() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	x := &backend{ages: map[int][]time.Duration{}}
	server := &http.Server{Handler: x}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()
	a, err := b.allInOneAgent(fmt.Sprintf(
		"exporters:\n  otlphttp:\n    endpoint: http://%s\n    encoding: json\n    compression: none\n", listener.Addr()), false)
	if err != nil {
		return err
	}
	defer a.stop()
	u, pids, err := b.httpRun(500, 2*b.span, a)
	if err != nil {
		return err
	}
	var ages []time.Duration
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		x.mu.Lock()
		ages = append(slices.Clone(x.ages[pids[0]]), x.ages[pids[1]]...)
		err = x.err
		x.mu.Unlock()
		if int64(len(ages)) >= 2*u.sent {
			break
		}
	}
	if err != nil {
		return err
	}
	if len(ages) == 0 {
		return fmt.Errorf("no span reached the backend; %s", a.Log())
	}
	slices.Sort(ages)
	at := func(p float64) time.Duration { return ages[int(p*float64(len(ages)-1))].Round(time.Millisecond) }
	p99 := at(0.99)
	b.add(row{
		what: "response written to span at the OTLP backend, 500 requests/s", budget: "p99 under 3 s",
		measured: fmt.Sprintf("p50 %v, p99 %v, maximum %v; %d of %d spans", at(0.5), p99, at(1), len(ages), 2*u.sent),
		verdict:  verdict(p99 < 3*time.Second), command: "bench -only latency",
	})
	return nil
}

// exchangeRate is how the decoder's benchmarks report their speed.
var exchangeRate = regexp.MustCompile(`(?m)^(Benchmark\S+).*?\s([0-9.e+]+) exchanges/s`)

// decoder runs the decoder's own benchmarks.
func (b *bench) decoder() error {
	out, err := exec.Command("go", "test", "-run", "^$", "-bench", ".", "-benchtime", "1s", "-cpu", "1",
		"millrace.dev/services/decoder").CombinedOutput()
	if err != nil {
		return fmt.Errorf("go test: %w: %.300s", err, out)
	}
	found := exchangeRate.FindAllSubmatch(out, -1)
	if len(found) == 0 {
		return fmt.Errorf("no benchmark of the decoder reports exchanges/s")
	}
	for _, m := range found {
		rate, err := strconv.ParseFloat(string(m[2]), 64)
		if err != nil {
			return err
		}
		b.add(row{
			what: "decoder, " + string(m[1]), budget: "1,000,000 exchanges/s per core",
			measured: fmt.Sprintf("%.0f exchanges/s", rate), verdict: verdict(rate >= 1e6),
			command: "go test -run xxx -bench . -cpu 1 ./services/decoder",
		})
	}
	return nil
}
