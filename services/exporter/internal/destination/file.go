package destination

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"

	"millrace.dev/lib/config"
	"millrace.dev/services/exporter/internal/otlp"
)

// File writes one ExportTraceServiceRequest or ExportMetricsServiceRequest as OTLP JSON a line.
type File struct {
	name, version string
	routing       Routing
	// spans and metrics are the same file, unless the configuration has one for each.
	spans, metrics *lines

	mu sync.Mutex
	// requests that were used, with their buffers. A sync.Pool would lose them at every other collection of garbage,
	// and a buffer that grows by appending copies, and touches for the first time, twice as much.
	requests []*fileRequest
}

// Requests that are kept: as many as may be in use at a time, since partitions that learn the time together write
// together, and buffers of the size that common requests have.
const (
	keptRequests = 32
	keptBytes    = 1 << 20
)

// newFile checks the section. version is the program's, for the instrumentation scope.
func newFile(name string, section *config.FileExporter, version string) (*File, error) {
	if section.Path == "" {
		return nil, errors.New("path: must be set")
	}
	routing, err := newRouting(routingKeys{
		Signals: section.Signals, Temporality: section.Temporality, Filter: section.Filter, Attributes: section.Attributes,
	})
	if err != nil {
		return nil, err
	}
	f := &File{name: name, version: version, routing: routing, spans: &lines{path: section.Path}}
	f.metrics = f.spans
	if section.MetricsPath != "" && filepath.Clean(section.MetricsPath) != filepath.Clean(section.Path) {
		f.metrics = &lines{path: section.MetricsPath}
	}
	return f, nil
}

// files that are written.
func (f *File) files() []*lines {
	var all []*lines
	if f.routing.Traces {
		all = append(all, f.spans)
	}
	if f.routing.Metrics && (f.metrics != f.spans || !f.routing.Traces) {
		all = append(all, f.metrics)
	}
	return all
}

func (f *File) paths() []string {
	var paths []string
	for _, file := range f.files() {
		paths = append(paths, filepath.Clean(file.path))
	}
	return paths
}

// Name implements [Destination].
func (f *File) Name() string { return f.name }

// Routing implements [Destination].
func (f *File) Routing() *Routing { return &f.routing }

// Start implements [Destination].
func (f *File) Start(context.Context) error {
	for _, file := range f.files() {
		if err := file.start(); err != nil {
			return err
		}
	}
	return nil
}

// Reopen closes the files; the next line goes to whatever is at the path then.
func (f *File) Reopen() error {
	var failures []error
	for _, file := range f.files() {
		failures = append(failures, file.reopen())
	}
	return errors.Join(failures...)
}

// Shutdown implements [Destination].
func (f *File) Shutdown(context.Context) error { return f.Reopen() }

// RequestBytes implements [Destination]. Lines of some 200 KiB: with ones of two megabytes the exporter took twice as
// much CPU for a span, because their buffers were new memory time and again, which the kernel clears, and in no cache.
func (f *File) RequestBytes() int { return 96 << 10 }

// NewRequest implements [Destination].
func (f *File) NewRequest() Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.requests); n > 0 {
		r := f.requests[n-1]
		f.requests = f.requests[:n-1]
		return r
	}
	return &fileRequest{JSON: otlp.NewJSON(f.version), to: f}
}

// SendMetrics implements [Destination].
func (f *File) SendMetrics(_ context.Context, metrics pmetric.Metrics) error {
	line, err := pmetricotlp.NewExportRequestFromMetrics(metrics).MarshalJSON()
	if err != nil {
		return consumererror.NewPermanent(err)
	}
	return f.metrics.write(append(line, '\n'))
}

type fileRequest struct {
	*otlp.JSON
	to *File
}

// Send implements [Request].
func (r *fileRequest) Send(context.Context) error { return r.to.spans.write(r.Line()) }

// Release implements [Request].
func (r *fileRequest) Release() {
	r.Reset()
	if r.Cap() > keptBytes {
		return
	}
	r.to.mu.Lock()
	defer r.to.mu.Unlock()
	if len(r.to.requests) < keptRequests {
		r.to.requests = append(r.to.requests, r)
	}
}
