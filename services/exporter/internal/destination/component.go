package destination

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"millrace.dev/services/exporter/internal/otlp"
)

// factories of the Collector's exporters by configuration key.
var factories = map[string]func() exporter.Factory{
	"otlp":     otlpexporter.NewFactory,
	"otlphttp": otlphttpexporter.NewFactory,
	"debug":    debugexporter.NewFactory,
}

// collectorComponent is an exporter component of the Collector.
type collectorComponent struct {
	name    string
	factory exporter.Factory
	config  component.Config
	set     exporter.Settings

	running exporter.Traces
}

// newComponent checks the settings as the Collector does; its errors name the key.
func newComponent(name string, settings map[string]any, version string) (*collectorComponent, error) {
	factory := factories[name]()
	settings = maps.Clone(settings)
	if queue, given := settings["sending_queue"]; given {
		if m, ok := queue.(map[string]any); !ok || m["enabled"] != false {
			return nil, errors.New("sending_queue: spans wait in the stream until the backend took them, remove this key")
		}
	}
	// Without a queue of its own the component returns only when the backend took the data, so the position in the stream can wait
	// for that.
	settings["sending_queue"] = map[string]any{"enabled": false}
	cfg := factory.CreateDefaultConfig()
	if err := confmap.NewFromStringMap(settings).Unmarshal(cfg); err != nil {
		return nil, err
	}
	if err := unknownKeys(settings, reflect.TypeOf(cfg), ""); err != nil {
		return nil, err
	}
	if err := confmap.Validate(cfg); err != nil {
		return nil, err
	}
	return &collectorComponent{
		name: name, factory: factory, config: cfg,
		set: exporter.Settings{
			ID: component.NewID(factory.Type()),
			TelemetrySettings: component.TelemetrySettings{
				Logger: logger(name), TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
				Resource: pcommon.NewResource(),
			},
			// The components make their User-Agent of these: "Millrace/<version> (linux/amd64)". Capture knows it by that.
			BuildInfo: component.BuildInfo{Command: "millrace", Description: "Millrace", Version: version},
		},
	}, nil
}

// logger of a component, to standard error. Output of the debug exporter is what the user asked for. Of the others warnings are of interest
// (a backend that took a part), each at most once in ten seconds; errors are returned too, and reported by who called.
func logger(name string) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if name == "debug" {
		return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.Lock(os.Stderr), zapcore.InfoLevel))
	}
	warnings := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l == zapcore.WarnLevel })
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.Lock(os.Stderr), warnings)
	return zap.New(zapcore.NewSamplerWithOptions(core, 10*time.Second, 1, 0)).Named("exporters." + name)
}

// Name implements [Destination].
func (c *collectorComponent) Name() string { return c.name }

// Start implements [Destination].
func (c *collectorComponent) Start(ctx context.Context) error {
	running, err := c.factory.CreateTraces(ctx, c.set, c.config)
	if err != nil {
		return fmt.Errorf("create exporter %s: %w", c.name, err)
	}
	if err := running.Start(ctx, host{}); err != nil {
		return fmt.Errorf("start exporter %s: %w", c.name, err)
	}
	c.running = running
	return nil
}

// NewRequest implements [Destination].
func (c *collectorComponent) NewRequest() Request {
	return &collectorRequest{Traces: otlp.NewTraces(c.set.BuildInfo.Version), to: c}
}

type collectorRequest struct {
	*otlp.Traces
	to *collectorComponent
}

// Send implements [Request].
func (r *collectorRequest) Send(ctx context.Context) error {
	return r.to.running.ConsumeTraces(ctx, r.Traces.Traces())
}

// Release implements [Request]. The Collector's objects are not used again.
func (r *collectorRequest) Release() {}

// Shutdown implements [Destination].
func (c *collectorComponent) Shutdown(ctx context.Context) error {
	if c.running == nil {
		return nil
	}
	return c.running.Shutdown(ctx)
}

// host is what the Collector is to its components: here without extensions.
type host struct{}

// GetExtensions implements [component.Host].
func (host) GetExtensions() map[component.ID]component.Component { return nil }
