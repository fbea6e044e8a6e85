package telemetry

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"millrace.dev/lib/config"
)

// Telemetry of one process. It is safe for concurrent use.
type Telemetry struct {
	// Log is the process's logger.
	Log *slog.Logger
	// Registry holds the process's metrics. Go runtime and process metrics are already in it.
	Registry *prometheus.Registry

	cfg     config.Telemetry
	service string

	mu         sync.Mutex
	components map[string]error
}

// errStarting is the state of a component that was announced and is not ready yet.
var errStarting = errors.New("starting")

// New makes the telemetry of service, with a logger to standard error.
func New(cfg config.Telemetry, service string) (*Telemetry, error) {
	return NewTo(os.Stderr, cfg, service)
}

// NewTo is [New] with the logger writing to w, which must take concurrent writes one by one.
func NewTo(w io.Writer, cfg config.Telemetry, service string) (*Telemetry, error) {
	handler, err := logHandler(w, cfg)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{
		Log:        slog.New(handler).With("service", service),
		Registry:   prometheus.NewRegistry(),
		cfg:        cfg,
		service:    service,
		components: map[string]error{},
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	} {
		if err := t.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register runtime metrics: %w", err)
		}
	}
	return t, nil
}

func logHandler(w io.Writer, cfg config.Telemetry) (slog.Handler, error) {
	var level slog.Level
	if cfg.LogLevel != "" {
		if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
			return nil, fmt.Errorf("telemetry.log_level: %q is none of debug, info, warn, error", cfg.LogLevel)
		}
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.LogFormat {
	case "", "text":
		return slog.NewTextHandler(w, options), nil
	case "json":
		return slog.NewJSONHandler(w, options), nil
	default:
		return nil, fmt.Errorf("telemetry.log_format: %q is neither text nor json", cfg.LogFormat)
	}
}

// Announce says that components will report through [Telemetry.SetReady]; until each has, the process is not ready.
func (t *Telemetry) Announce(components ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, component := range components {
		if _, found := t.components[component]; !found {
			t.components[component] = errStarting
		}
	}
}

// SetReady says that component does its job (err is nil) or why it does not.
func (t *Telemetry) SetReady(component string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.components[component] = err
}

// Ready reports whether every component is ready, and which are not and why, sorted by name. Without any component a
// process is not ready: nothing has started.
func (t *Telemetry) Ready() (ready bool, reasons []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for component, err := range t.components {
		if err != nil {
			reasons = append(reasons, component+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	if len(t.components) == 0 {
		reasons = []string{t.service + ": starting"}
	}
	slices.Sort(reasons)
	return len(reasons) == 0, reasons
}
