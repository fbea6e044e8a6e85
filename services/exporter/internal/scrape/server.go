package scrape

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

const (
	// maxScrapes at a time; each holds the text of one metric of one partition in memory, or the protobuf of one
	// metric.
	maxScrapes = 4
	// writeTimeout bounds how long a scraper may take to read.
	writeTimeout = time.Minute
	closeTimeout = 2 * time.Second
)

// formats that scrapers may choose from, the best first for those that do not care.
var formats = []expfmt.Format{expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1, expfmt.FmtProtoDelim, expfmt.FmtText}

// Server answers scrapes with the series of the partitions that are shown to it.
type Server struct {
	listener net.Listener
	slots    chan struct{}
	seconds  prometheus.Histogram
	refused  prometheus.Counter
	lines    prometheus.Counter

	mu         sync.Mutex
	processors map[*Processor]struct{}
}

// Listen opens the endpoint and registers metrics about it. Nothing is answered before [Server.Serve].
func Listen(address string, registry prometheus.Registerer) (*Server, error) {
	s := &Server{
		slots:      make(chan struct{}, maxScrapes),
		processors: map[*Processor]struct{}{},
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "millrace_exporter_scrape_seconds", Help: "Time to answer a scrape of the Prometheus endpoint.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "millrace_exporter_refused_scrapes_total", Help: "Scrapes refused because too many were being answered.",
		}),
		lines: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "millrace_exporter_scraped_series_total", Help: "Series written in answers to scrapes.",
		}),
	}
	for _, c := range []prometheus.Collector{s.seconds, s.refused, s.lines} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the endpoint: %w", err)
		}
	}
	var err error
	if s.listener, err = net.Listen("tcp", address); err != nil {
		return nil, err
	}
	return s, nil
}

// Address is where the endpoint listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Serve answers scrapes until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, WriteTimeout: writeTimeout}
	stop := context.AfterFunc(ctx, func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if server.Shutdown(closing) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("prometheus endpoint: %w", err)
	}
	return nil
}

func (s *Server) show(p *Processor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processors[p] = struct{}{}
}

func (s *Server) hide(p *Processor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processors, p)
}

// shown are the processors whose series may be seen.
func (s *Server) shown() []*Processor {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*Processor, 0, len(s.processors))
	for p := range s.processors {
		all = append(all, p)
	}
	return all
}

// ServeHTTP answers a scrape in the format that the scraper asks for.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	default:
		s.refused.Inc()
		http.Error(w, "too many scrapes at a time", http.StatusServiceUnavailable)
		return
	}
	began := time.Now()
	format := expfmt.NegotiateAccept(r.Header, formats...)
	w.Header().Set("Content-Type", string(format))
	w.Header().Add("Vary", "Accept, Accept-Encoding")
	var out io.Writer = w
	if acceptsGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		zipped, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // The level is valid.
		defer func() { _ = zipped.Close() }()               // The scraper has gone, or sees that the end is missing.
		out = zipped
	}
	n, err := write(out, format, s.shown())
	s.lines.Add(float64(n))
	if err != nil {
		// Half an answer must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
	s.seconds.Observe(time.Since(began).Seconds())
}

func acceptsGzip(header http.Header) bool {
	for _, part := range strings.Split(header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" && strings.ReplaceAll(quality, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
