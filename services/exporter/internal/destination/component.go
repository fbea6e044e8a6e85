package destination

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/debugexporter"
	"go.opentelemetry.io/collector/exporter/otlpexporter"
	"go.opentelemetry.io/collector/exporter/otlphttpexporter"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"millrace.dev/services/exporter/internal/otlp"
)

// factories of the Collector's exporters by the kind in the configuration.
var factories = map[string]func() exporter.Factory{
	"otlp":     otlpexporter.NewFactory,
	"otlphttp": otlphttpexporter.NewFactory,
	"debug":    debugexporter.NewFactory,
}

// collectorComponent is an exporter component of the Collector.
type collectorComponent struct {
	name    string
	routing Routing
	factory exporter.Factory
	config  component.Config
	set     exporter.Settings

	// Nil for a signal that the destination does not get.
	traces  exporter.Traces
	metrics exporter.Metrics
}

// newComponent checks the settings as the Collector does; its errors name the key.
func newComponent(name string, settings map[string]any, version string) (*collectorComponent, error) {
	kind, _, _ := strings.Cut(name, "/")
	factory := factories[kind]()
	settings = maps.Clone(settings)
	routing, err := takeRouting(settings)
	if err != nil {
		return nil, err
	}
	if queue, given := settings["sending_queue"]; given {
		if m, ok := queue.(map[string]any); !ok || m["enabled"] != false {
			return nil, errors.New("sending_queue: what is to be sent waits in the stream until the backend took them, remove this key")
		}
	}
	// Without a queue of its own the component returns only when the backend took the data, so the position in the
	// stream can wait for that.
	settings["sending_queue"] = map[string]any{"enabled": false}
	cfg := factory.CreateDefaultConfig()
	keepConnections(cfg)
	if err = confmap.NewFromStringMap(settings).Unmarshal(cfg); err != nil {
		return nil, err
	}
	if err := unknownKeys(settings, reflect.TypeOf(cfg), ""); err != nil {
		return nil, err
	}
	if err := confmap.Validate(cfg); err != nil {
		return nil, err
	}
	return &collectorComponent{
		name: name, routing: routing, factory: factory, config: cfg,
		set: exporter.Settings{
			ID: component.NewID(factory.Type()),
			TelemetrySettings: component.TelemetrySettings{
				Logger: logger(kind, name), TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider(),
				Resource: pcommon.NewResource(),
			},
			// The components make their User-Agent of these: "Millrace/<version> (linux/amd64)". Capture knows it by
			// that.
			BuildInfo: component.BuildInfo{Command: "millrace", Description: "Millrace", Version: version},
		},
	}, nil
}

// keepConnections lets an exporter over HTTP keep every connection that it has, unless its settings say otherwise. Each
// partition sends on its own, so there are as many requests at a time as partitions. Go keeps two connections to a host
// by default and closes all others after each request.
func keepConnections(cfg component.Config) {
	overHTTP, ok := cfg.(*otlphttpexporter.Config)
	if !ok {
		return
	}
	keepalive := confighttp.NewDefaultKeepaliveClientConfig()
	keepalive.MaxIdleConnsPerHost = keepalive.MaxIdleConns
	overHTTP.ClientConfig.Keepalive = configoptional.Some(keepalive)
}

// logger of a component, to standard error. Output of the debug exporter is what the user asked for. Of the others
// warnings are of interest (a backend that took a part), each at most once in ten seconds; errors are returned too, and
// reported by who called.
func logger(kind, name string) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	if kind == "debug" {
		return zap.New(zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.Lock(os.Stderr), zapcore.InfoLevel))
	}
	warnings := zap.LevelEnablerFunc(func(l zapcore.Level) bool { return l == zapcore.WarnLevel })
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoder), zapcore.Lock(os.Stderr), warnings)
	return zap.New(zapcore.NewSamplerWithOptions(core, 10*time.Second, 1, 0)).Named("exporters." + name)
}

// Name implements [Destination].
func (c *collectorComponent) Name() string { return c.name }

// Routing implements [Destination].
func (c *collectorComponent) Routing() *Routing { return &c.routing }

// Start implements [Destination].
func (c *collectorComponent) Start(ctx context.Context) error {
	if c.routing.Traces {
		traces, err := c.factory.CreateTraces(ctx, c.set, c.config)
		if err != nil {
			return fmt.Errorf("create exporter %s of traces: %w", c.name, err)
		}
		if err := traces.Start(ctx, host{}); err != nil {
			return fmt.Errorf("start exporter %s of traces: %w", c.name, err)
		}
		c.traces = traces
	}
	if c.routing.Metrics {
		metrics, err := c.factory.CreateMetrics(ctx, c.set, c.config)
		if err != nil {
			return fmt.Errorf("create exporter %s of metrics: %w", c.name, err)
		}
		if err := metrics.Start(ctx, host{}); err != nil {
			return fmt.Errorf("start exporter %s of metrics: %w", c.name, err)
		}
		c.metrics = metrics
	}
	return nil
}

// SendMetrics implements [Destination].
func (c *collectorComponent) SendMetrics(ctx context.Context, metrics pmetric.Metrics) error {
	return c.metrics.ConsumeMetrics(ctx, metrics)
}

// RequestBytes implements [Destination]. gRPC servers take 4 MiB by default, and OTLP is up to twice as large as the
// batches here.
func (c *collectorComponent) RequestBytes() int { return 768 << 10 }

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
	return r.to.traces.ConsumeTraces(ctx, r.Traces.Traces())
}

// Release implements [Request]. The Collector's objects are not used again.
func (r *collectorRequest) Release() {}

// Shutdown implements [Destination].
func (c *collectorComponent) Shutdown(ctx context.Context) error {
	var failures []error
	if c.traces != nil {
		failures = append(failures, c.traces.Shutdown(ctx))
	}
	if c.metrics != nil {
		failures = append(failures, c.metrics.Shutdown(ctx))
	}
	return errors.Join(failures...)
}

// host is what the Collector is to its components: here without extensions.
type host struct{}

// GetExtensions implements [component.Host].
func (host) GetExtensions() map[component.ID]component.Component { return nil }
