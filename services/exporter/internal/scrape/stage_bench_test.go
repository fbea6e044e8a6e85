package scrape

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"millrace.dev/lib/stage"
	"millrace.dev/lib/stage/stagebench"
	"millrace.dev/services/exporter/internal/exportertest"
)

// scraped is a processor whose series are scraped every ten seconds of the stream's time.
type scraped struct {
	*Processor
	server *Server
	last   time.Time
	bytes  int
}

// Tick implements [stage.Processor].
func (s *scraped) Tick(ctx context.Context, now time.Time, out stage.Output) error {
	if now.Sub(s.last) >= 10*time.Second {
		s.last = now
		answer := httptest.NewRecorder()
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
		request.Header.Set("Accept-Encoding", "gzip")
		s.server.ServeHTTP(answer, request)
		s.bytes += answer.Body.Len()
	}
	return s.Processor.Tick(ctx, now, out)
}

// BenchmarkStage is the cost of a delta through the stage, with a compressed scrape of its thousand series every ten
// seconds.
func BenchmarkStage(b *testing.B) {
	server := newServer()
	p := &scraped{Processor: newProcessor(b, server, 0), server: server}
	p.CaughtUp(yes)
	deltas := exportertest.NewDeltas(b)
	stagebench.Run(b, p, stagebench.Load{
		Next: func(time.Time) ([]stage.Record, int) { return deltas.Next() }, Warm: 10 * time.Second,
		Sent: func() int { return p.bytes },
	})
}
