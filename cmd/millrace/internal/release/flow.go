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
	"millrace.dev/cmd/millrace/internal/spanview"
	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Flow proves that data flows from the kernel of this node to the spans on the bus, and on to what exporters have sent.
type Flow struct {
	// Address of this pod, at which it serves and is its own client.
	Address string
	// Exporters is the host:port at which all exporters serve their metrics; empty: there are none.
	Exporters string
	Out       io.Writer
}

// Run makes requests, one each half second, until spans of both ends of one were seen and every exporter's destination
// has taken more than before, or ctx ends. The error says how far data came, and where to look on.
func (f *Flow) Run(ctx context.Context, conn *bus.Conn) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(f.Address, "0"))
	if err != nil {
		return fmt.Errorf("serve requests: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	}), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }() // It ends by Close.
	defer server.Close()

	path := "/millrace/release/test/" + strconv.FormatInt(time.Now().UnixNano(), 10)
	var clients, servers atomic.Int64
	feed, err := spanfeed.Subscribe(conn, func(batch *millracev1.SpanBatch) {
		for _, s := range spanview.FromBatch(batch) {
			if !strings.Contains(s.Summary, path) {
				continue
			}
			if spanview.KindWord(s.Kind) == "server" {
				servers.Add(1)
			} else {
				clients.Add(1)
			}
		}
	})
	if err != nil {
		return err
	}
	defer feed.Close()
	before, _ := f.exported(ctx) // Those that cannot be asked now are asked again.
	made := 0
	for {
		if err := f.request(ctx, "http://"+listener.Addr().String()+path); err != nil && ctx.Err() == nil {
			return err
		}
		made++
		seen := clients.Load() > 0 && servers.Load() > 0
		if seen {
			err = f.sent(ctx, before)
		}
		if seen && err == nil {
			fmt.Fprintf(f.Out, "data flows: %d requests of this pod to itself, spans of both ends are on the bus\n", made)
			return nil
		}
		select {
		case <-ctx.Done():
			return f.explain(made, clients.Load(), servers.Load(), err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (f *Flow) explain(made int, clients, servers int64, err error) error {
	if clients > 0 && servers > 0 {
		return fmt.Errorf("spans are on the bus, but exporters do not hand on all: %w", err)
	}
	return fmt.Errorf("this pod made %d requests to itself, and %d spans of its client and %d of its server came over the bus in time. "+
		"Do discovery rules select this pod? Is capture of this node ready (its /readyz and log say why not)? "+
		"Have decoder and enricher partitions without lag (`millrace partitions`)?", made, clients, servers)
}

func (f *Flow) request(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("this pod cannot reach itself: %w", err)
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err //nolint:wrapcheck // An answer of two bytes of our own.
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
		return nil, nil
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
