// Command sink keeps every OTLP/HTTP request that it gets, as it came, for a test that cannot be reached by exporters.
//
//	sink -listen :4318
//
// GET /requests?after=N gives those from number N on, one JSON object a line: the path, and the body in base64. What is
// kept is bounded; beyond it requests are refused, which exporters see.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// Bounds of what is kept, of one request, and of one answer.
const (
	maxKept    = 512 << 20
	maxRequest = 32 << 20
	maxAnswer  = 16 << 20
)

type request struct {
	Path string `json:"path"`
	Body []byte `json:"body"`
}

type sink struct {
	mu       sync.Mutex
	requests []request
	size     int
}

func main() {
	listen := flag.String("listen", ":4318", "address to serve")
	flag.Parse()
	server := &http.Server{Addr: *listen, Handler: &sink{}, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintln(os.Stderr, "sink:", server.ListenAndServe())
	os.Exit(1)
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path == "/requests" {
		s.give(w, r)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	s.mu.Lock()
	full := s.size+len(body) > maxKept
	if !full {
		s.requests, s.size = append(s.requests, request{r.URL.Path, body}), s.size+len(body)
	}
	s.mu.Unlock()
	if full {
		http.Error(w, "full", http.StatusInsufficientStorage)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

func (s *sink) give(w http.ResponseWriter, r *http.Request) {
	after, err := strconv.Atoi(r.URL.Query().Get("after"))
	s.mu.Lock()
	kept := s.requests
	s.mu.Unlock()
	if err != nil || after < 0 || after > len(kept) {
		http.Error(w, fmt.Sprintf("after: want 0 to %d", len(kept)), http.StatusBadRequest)
		return
	}
	encoder := json.NewEncoder(w)
	for size := 0; after < len(kept) && size < maxAnswer; after++ {
		size += len(kept[after].Body)
		if encoder.Encode(kept[after]) != nil {
			return // The reader has gone.
		}
	}
}
