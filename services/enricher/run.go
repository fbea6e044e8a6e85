package enricher

import (
	"context"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/metrics"
)

// Run works on partitions of the exchange stream until ctx ends. Any number of instances may run.
func Run(ctx context.Context, env *service.Env) error {
	counters, err := join.NewCounters(env.Telemetry.Registry)
	if err != nil {
		return err
	}
	gauges, err := metrics.NewCounters(env.Telemetry.Registry)
	if err != nil {
		return err
	}
	aggregation := metrics.NewSettings(env.Config, env.Bus.Partitions())
	settings := join.Settings{
		Partitions: env.Bus.Partitions(),
		Hold:       env.Config.Enricher.HoldTime,
		MaxPending: env.Config.Enricher.MaxPending,
		Observer:   func(partition int) join.Observer { return metrics.New(partition, aggregation, gauges) },
	}
	return stage.Run(ctx, stage.Options{
		Name:   "enricher",
		Stream: bus.StreamExchange,
		Subjects: func(partition int) []string {
			return []string{bus.ExchangeSubject(partition), bus.LinkSubject(partition), bus.ProgressSubject}
		},
		Factory: func(partition int) (stage.Processor, error) {
			return join.New(partition, settings, counters), nil
		},
		Bus:       env.Bus,
		Telemetry: env.Telemetry,
	})
}
