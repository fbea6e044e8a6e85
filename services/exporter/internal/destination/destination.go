package destination

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/consumer/consumererror"

	"millrace.dev/lib/config"
	"millrace.dev/services/exporter/internal/otlp"
)

// Destination takes spans.
type Destination interface {
	// Name is the configuration key below exporters.
	Name() string
	// Start readies the destination; a backend that is away is no error.
	Start(ctx context.Context) error
	// NewRequest gives an empty request. It is safe for concurrent use.
	NewRequest() Request
	// Shutdown releases what Start took.
	Shutdown(ctx context.Context) error
}

// Request is spans on their way to a destination, in its encoding. It is not safe for concurrent use, but several may be.
type Request interface {
	// Add adds a span of an encoded, well-formed resource. What the span aliases must stay until the request is released.
	Add(resource []byte, span *otlp.Span)
	// Send returns when the backend has taken the spans. An error for which [IsPermanent] holds means that it never will; after any
	// other it may be called again.
	Send(ctx context.Context) error
	// Release empties the request for another use. The caller has it no longer.
	Release()
}

// IsPermanent reports whether the backend refused the spans for good.
func IsPermanent(err error) bool { return consumererror.IsPermanent(err) }

// New makes the destinations that the configuration names, in a fixed order. Nothing is opened yet. version is the program's.
func New(cfg config.Exporters, version string) ([]Destination, error) {
	var all []Destination
	var mistakes []error
	for _, component := range []struct {
		name     string
		settings map[string]any
	}{{"otlp", cfg.OTLP}, {"otlphttp", cfg.OTLPHTTP}, {"debug", cfg.Debug}} {
		if component.settings == nil {
			continue
		}
		d, err := newComponent(component.name, component.settings, version)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("exporters.%s: %w", component.name, err))
			continue
		}
		all = append(all, d)
	}
	if cfg.File != nil {
		if cfg.File.Path == "" {
			mistakes = append(mistakes, errors.New("exporters.file.path: must be set"))
		} else {
			all = append(all, NewFile(cfg.File.Path, version))
		}
	}
	return all, errors.Join(mistakes...)
}
