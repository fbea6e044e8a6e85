package destination

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"millrace.dev/lib/config"
	"millrace.dev/services/exporter/internal/otlp"
)

// Destination takes spans, metrics, or both.
type Destination interface {
	// Name is the configuration key below exporters.
	Name() string
	// Routing is what the destination gets. The caller only reads.
	Routing() *Routing
	// Start readies the destination; a backend that is away is no error.
	Start(ctx context.Context) error
	// NewRequest gives an empty request for spans. It is safe for concurrent use.
	NewRequest() Request
	// RequestBytes is how many bytes of batches a request takes; one that is larger alone is taken, too.
	RequestBytes() int
	// SendMetrics returns when the backend has taken the metrics; errors are those of [Request.Send]. The metrics are
	// the destination's from then on, unless it returned an error. It is safe for concurrent use.
	SendMetrics(ctx context.Context, metrics pmetric.Metrics) error
	// Shutdown releases what Start took.
	Shutdown(ctx context.Context) error
}

// Request is spans on their way to a destination, in its encoding. It is not safe for concurrent use, but several may
// be.
type Request interface {
	// Add adds a span of an encoded, well-formed resource. What the span aliases must stay until the request is
	// released.
	Add(resource []byte, span *otlp.Span)
	// Send returns when the backend has taken the spans. An error for which [IsPermanent] holds means that it never
	// will; after any other it may be called again.
	Send(ctx context.Context) error
	// Release empties the request for another use. The caller has it no longer.
	Release()
}

// IsPermanent reports whether the backend refused the data for good.
func IsPermanent(err error) bool { return consumererror.IsPermanent(err) }

// New makes the destinations that the configuration names, in a fixed order. Nothing is opened yet. version is the
// program's.
func New(cfg config.Exporters, version string) ([]Destination, error) {
	var all []Destination
	var mistakes []error
	add := func(name string, d Destination, err error) {
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("exporters.%s: %w", name, err))
			return
		}
		all = append(all, d)
	}
	sections := maps.Clone(cfg.Named)
	if sections == nil {
		sections = map[string]map[string]any{}
	}
	for name, settings := range map[string]map[string]any{"otlp": cfg.OTLP, "otlphttp": cfg.OTLPHTTP, "debug": cfg.Debug} {
		if settings != nil {
			sections[name] = settings
		}
	}
	switch {
	case cfg.File == nil:
	case cfg.File.Path == "":
		mistakes = append(mistakes, errors.New("exporters.file.path: must be set"))
	default:
		file, err := newFile("file", cfg.File, version)
		add("file", file, err)
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if strings.HasPrefix(name, "file/") {
			file, err := namedFile(name, sections[name], version)
			add(name, file, err)
			continue
		}
		component, err := newComponent(name, sections[name], version)
		add(name, component, err)
	}
	mistakes = append(mistakes, samePaths(all)...)
	return all, errors.Join(mistakes...)
}

// namedFile is a file whose section the configuration's loader left to us.
func namedFile(name string, settings map[string]any, version string) (*File, error) {
	var section config.FileExporter
	if err := confmap.NewFromStringMap(settings).Unmarshal(&section); err != nil {
		return nil, err
	}
	return newFile(name, &section, version)
}

// samePaths reports files that are in two sections: a file has one writer.
func samePaths(all []Destination) (mistakes []error) {
	owner := map[string]string{}
	for _, d := range all {
		file, ok := d.(*File)
		if !ok {
			continue
		}
		for _, path := range file.paths() {
			if other := owner[path]; other != "" {
				mistakes = append(mistakes, fmt.Errorf("exporters.%s: exporters.%s writes %s already", file.name, other, path))
			}
			owner[path] = file.name
		}
	}
	return mistakes
}
