package exporter

import (
	"strings"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/destination"
	"millrace.dev/services/exporter/internal/export"
	"millrace.dev/services/exporter/internal/scrape"
	"millrace.dev/services/exporter/internal/selection"
	"millrace.dev/services/exporter/internal/series"
)

// keptSlack is how much longer than a decision an exemplar waits for the notice that its trace was kept: spans, metrics
// and notices come by different ways.
const keptSlack = 30 * time.Second

// stages are what the service runs. Each destination has a stage for spans and one for metrics, whose names are part of
// the keys of their checkpoints: each has a position of its own.
type stages struct {
	env     *service.Env
	version string
	spans   *export.Metrics
	metrics *export.SeriesMetrics
	all     []stage.Options
}

func newStages(env *service.Env) (*stages, error) {
	spans, err := export.NewMetrics(env.Telemetry.Registry)
	if err != nil {
		return nil, err
	}
	metrics, err := export.NewSeriesMetrics(env.Telemetry.Registry)
	if err != nil {
		return nil, err
	}
	return &stages{env: env, version: service.Version(), spans: spans, metrics: metrics}, nil
}

// add adds the stages of a destination.
func (s *stages) add(d destination.Destination) {
	// A name of a stage has no slash. Kinds have no underscore, so no two become the same.
	name := strings.ReplaceAll(d.Name(), "/", "_")
	if d.Routing().Traces {
		counters := s.spans.Of(d.Name(), s.env.Telemetry.Log)
		s.run(component+"-"+name, spanSource(s.env.Config.Samples()), func(int) (stage.Processor, error) {
			return export.NewProcessor(d, d.Routing().NewFilter(), counters), nil
		})
	}
	if d.Routing().Metrics {
		counters := s.metrics.Of(d.Name(), s.env.Telemetry.Log)
		s.run(component+"-metrics-"+name, metricSource(s.env.Config), func(partition int) (stage.Processor, error) {
			options := seriesOptions(s.env.Config, partition)
			options.Delta, options.Filter = d.Routing().Delta, d.Routing().NewFilter()
			return export.NewMetricProcessor(d, options, counters, s.version), nil
		})
	}
}

// addScrape adds the stage behind the Prometheus endpoint.
func (s *stages) addScrape(server *scrape.Server) {
	counters := s.metrics.Of("prometheus", s.env.Telemetry.Log)
	section := s.env.Config.Exporters.Prometheus
	s.run(component+"-prometheus", metricSource(s.env.Config), func(partition int) (stage.Processor, error) {
		options := seriesOptions(s.env.Config, partition)
		options.KeepExemplars, options.Identity = true, true
		options.Filter = selection.New(section.Filter, section.Attributes)
		return scrape.NewProcessor(server, partition, options, counters), nil
	})
}

func (s *stages) run(name string, from source, factory stage.Factory) {
	s.all = append(s.all, stage.Options{
		Name: name, HighestVersion: schemaVersion, Stream: from.stream, Subjects: from.subjects, Factory: factory, Bus: s.env.Bus, Telemetry: s.env.Telemetry,
		Upstream: []string{"enricher", samplerStage}, Linger: service.Linger,
	})
}

// schemaVersion is the highest version of the batches of spans and of metrics, and of notices, that is read.
const schemaVersion = 1

// metricSource is where destinations of metrics read. Notices of kept traces are there only where sampling decides.
func metricSource(cfg *config.Config) source {
	return source{stream: bus.StreamMetric, subjects: func(partition int) []string {
		subjects := []string{bus.MetricSubject(partition)}
		if cfg.Samples() {
			subjects = append(subjects, bus.KeptSubject(partition))
		}
		return subjects
	}}
}

// seriesOptions are those that the configuration has for every destination.
func seriesOptions(cfg *config.Config, partition int) series.Options {
	options := series.Options{
		Partition: partition, Interval: cfg.Metrics.ExportInterval, TTL: cfg.Metrics.TTL, CardinalityLimit: cfg.Metrics.CardinalityLimit,
		MaxSeries: cfg.Metrics.MaxSeries,
	}
	if cfg.Samples() {
		options.AwaitKept = cfg.Sampling.DecisionWait + keptSlack
	}
	return options
}
