// Package backend is an OTLP backend: it takes OTLP/HTTP in JSON, keeps every span with how often it came and every
// point of metrics, notes points that contradict each other, and can be away.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"millrace.dev/test/internal/spans"
)

// Received is a span and how often it came.
type Received struct {
	*spans.Span
	Times int
	// Differs: it came with another trace, parent or time than the first time.
	Differs bool
}

// Backend is safe for concurrent use.
type Backend struct {
	addresses []string
	servers   []*http.Server

	mu    sync.Mutex
	byID  map[string]*Received
	book  book
	wrong error
	last  time.Time
}

// New makes a backend that will listen on the given addresses, which stay the same over absences.
func New(addresses ...string) *Backend {
	return &Backend{addresses: addresses, byID: map[string]*Received{}, book: book{series: map[string]*Series{}}}
}

// Open listens.
func (b *Backend) Open() error {
	for _, address := range b.addresses {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("backend: %w", err)
		}
		server := &http.Server{Handler: http.HandlerFunc(b.serve), ReadHeaderTimeout: 10 * time.Second}
		b.servers = append(b.servers, server)
		go func() { _ = server.Serve(l) }() // Until Close.
	}
	return nil
}

// Close is to be away: connections are cut, new ones refused.
func (b *Backend) Close() {
	for _, server := range b.servers {
		_ = server.Close()
	}
	b.servers = nil
}

// Shutdown lets requests end first.
func (b *Backend) Shutdown(ctx context.Context) error {
	var all []error
	for _, server := range b.servers {
		all = append(all, server.Shutdown(ctx))
	}
	b.servers = nil
	return errors.Join(all...)
}

func (b *Backend) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The sender went away in the middle.
	}
	w.Header().Set("Content-Type", "application/json")
	if err := b.Take(r.URL.Path, body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.WriteString(w, "{}")
}

// Take takes a request that came another way: what was sent to path.
func (b *Backend) Take(path string, body []byte) error {
	err := fmt.Errorf("request for %s", path)
	switch path {
	case "/v1/traces":
		var found []*spans.Span
		if found, err = spans.Parse(body); err == nil {
			b.take(found)
		}
	case "/v1/metrics":
		err = b.measure(body)
	}
	if err != nil {
		b.fail(err)
	}
	return err
}

func (b *Backend) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wrong == nil {
		b.wrong = err
	}
}

func (b *Backend) take(found []*spans.Span) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = time.Now()
	for _, s := range found {
		r := b.byID[s.SpanID]
		if r == nil {
			r = &Received{Span: s}
			b.byID[s.SpanID] = r
		}
		r.Times++
		r.Differs = r.Differs || r.TraceID != s.TraceID || r.ParentID != s.ParentID || r.Start != s.Start || r.End != s.End
	}
}

func (b *Backend) measure(body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.book.take(body)
}

// Points gives what came of metrics.
func (b *Backend) Points() Points {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.book.points()
}

// Len is how many different spans came.
func (b *Backend) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.byID)
}

// Spans gives what came of spans, by span id, and the first request of any kind that was not understood.
func (b *Backend) Spans() (map[string]Received, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make(map[string]Received, len(b.byID))
	for id, r := range b.byID {
		out[id] = *r
	}
	return out, b.wrong
}
