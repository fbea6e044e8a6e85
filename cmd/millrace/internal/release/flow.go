package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"millrace.dev/cmd/millrace/internal/spanfeed"
	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Flow proves that data flows from the kernel of this node to the spans on the bus, and on to what exporters have
// sent. It makes no requests itself: Millrace does not watch its own programs. The kubelet's probe of a server in the
// same pod is what it looks for.
type Flow struct {
	// Port of the server that the kubelet probes.
	Port int
	// Exporters is the host:port at which all exporters serve their metrics; empty: there are none.
	Exporters string
	Out       io.Writer
}

// Run waits until a span of the server's was seen and every exporter's destination has taken more than before. If ctx
// ends first, the error says how far data came, and where to look on.
func (f *Flow) Run(ctx context.Context, conn *bus.Conn) error {
	var all, servers, clients atomic.Int64
	feed, err := spanfeed.Subscribe(conn, func(batch *millracev1.SpanBatch) {
		for _, s := range batch.GetSpans() {
			all.Add(1)
			switch {
			case !f.ours(s):
			case s.GetKind() == millracev1.SpanKind_SPAN_KIND_SERVER:
				servers.Add(1)
			default:
				clients.Add(1)
			}
		}
	})
	if err != nil {
		return err
	}
	defer feed.Close()
	before, err := f.exported(ctx)
	for {
		if err == nil && servers.Load() > 0 {
			if err = f.sent(ctx, before); err == nil {
				fmt.Fprintf(f.Out, "data flows: %d spans of the server in this pod and %d of the kubelet that probes it came over the bus, %d in all\n",
					servers.Load(), clients.Load(), all.Load())
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return f.explain(all.Load(), servers.Load(), err)
		case <-time.After(500 * time.Millisecond):
		}
		if before == nil {
			before, err = f.exported(ctx) // Exporters may have been away.
		}
	}
}

// ours: the span is of a request to the server in this pod.
func (f *Flow) ours(s *millracev1.Span) bool {
	for _, kv := range s.GetAttributes() {
		if kv.GetKey() == "server.port" {
			return kv.GetIntValue() == int64(f.Port)
		}
	}
	return false
}

func (f *Flow) explain(all, servers int64, err error) error {
	switch {
	case servers > 0:
		return fmt.Errorf("spans are on the bus, but exporters do not hand on all: %w", err)
	case all > 0:
		return fmt.Errorf("%d spans came over the bus, and none of the server in this pod, which the kubelet probes each second: "+
			"is there a capture on this node, and ready (its /readyz and log say why not)? Do rules of discovery leave this pod out?", all)
	}
	return errors.New("no spans came over the bus: are captures ready (/readyz and the log say why not), and have decoder and enricher " +
		"partitions without lag (`millrace partitions`)?")
}

// sent says which destinations have taken nothing since before; nil: all have.
func (f *Flow) sent(ctx context.Context, before map[string]float64) error {
	now, err := f.exported(ctx)
	if err != nil {
		return err
	}
	for name, count := range now {
		if count <= before[name] {
			return fmt.Errorf("exporter %s has taken no spans since the test began: its log says why, or its filter leaves them out", name)
		}
	}
	return nil
}

// exported gives the spans that each destination has taken, over all exporters.
func (f *Flow) exported(ctx context.Context) (map[string]float64, error) {
	if f.Exporters == "" {
		return map[string]float64{}, nil
	}
	host, port, err := net.SplitHostPort(f.Exporters)
	if err != nil {
		return nil, fmt.Errorf("address of exporters: %w", err)
	}
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("find exporters: %w", err)
	}
	total := map[string]float64{}
	for _, address := range addresses {
		if err := f.scrape(ctx, net.JoinHostPort(address, port), total); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// errTooLong: an exporter serves more than is read.
var errTooLong = errors.New("the answer is too long")

func (f *Flow) scrape(ctx context.Context, address string, total map[string]float64) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask exporter: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("ask exporter: %w", err)
	}
	defer response.Body.Close()
	const limit = 8 << 20
	text, err := io.ReadAll(io.LimitReader(response.Body, limit))
	if err == nil && len(text) == limit {
		err = errTooLong
	}
	if err != nil {
		return fmt.Errorf("ask exporter: %w", err)
	}
	for name, count := range spansTaken(string(text)) {
		total[name] += count
	}
	return nil
}

// spansTaken reads the counts of spans by exporter out of metrics in Prometheus' text format.
func spansTaken(text string) map[string]float64 {
	taken := map[string]float64{}
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(line, `millrace_exporter_spans_total{exporter="`)
		name, value, ok := strings.Cut(rest, `"} `)
		if !found || !ok {
			continue
		}
		if count, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
			taken[name] += count
		}
	}
	return taken
}
