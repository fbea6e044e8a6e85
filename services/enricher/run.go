package enricher

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/kube"
	"millrace.dev/services/enricher/internal/metrics"
	"millrace.dev/services/enricher/internal/spans"
)

// Run works on partitions of the exchange stream until ctx ends. Any number of instances may run.
func Run(ctx context.Context, env *service.Env) error {
	asker, stop, err := kube.Start(ctx, env)
	if err != nil {
		return err
	}
	defer stop()
	factory, err := processors(env.Config, env.Bus.Partitions(), env.Telemetry.Registry, asker)
	if err != nil {
		return err
	}
	return stage.Run(ctx, stage.Options{
		Name:   "enricher",
		Stream: bus.StreamExchange,
		Subjects: func(partition int) []string {
			return []string{bus.ExchangeSubject(partition), bus.LinkSubject(partition), bus.ProgressSubject}
		},
		HighestVersion: join.SchemaVersion,
		Factory:        factory,
		Bus:            env.Bus,
		Telemetry:      env.Telemetry,
		Upstream:       []string{"decoder"},
		Linger:         service.Linger,
	})
}

// processors gives what makes the processor of a partition.
func processors(cfg *config.Config, partitions int, registry prometheus.Registerer, asker func(partition int) join.Asker,
) (stage.Factory, error) {
	counters, err := join.NewCounters(registry)
	if err != nil {
		return nil, err
	}
	gauges, err := metrics.NewCounters(registry)
	if err != nil {
		return nil, err
	}
	aggregation := metrics.NewSettings(cfg, partitions)
	settings := join.Settings{
		Partitions: partitions,
		Hold:       cfg.Enricher.HoldTime,
		MaxPending: cfg.Enricher.MaxPending,
		Anatomy:    spans.Anatomy(cfg.Traces.Anatomy),
		Asker:      asker,

		FlowInterval: cfg.Network.CacheActiveTimeout,
		MaxFlows:     cfg.Network.CacheMaxFlows,
		Loopback:     cfg.Network.Loopback(),
		Observer:     func(partition int) join.Observer { return metrics.New(partition, aggregation, gauges) },
	}
	return func(partition int) (stage.Processor, error) { return join.New(partition, settings, counters), nil }, nil
}
