package decoder

import (
	"context"
	"strconv"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
)

// Run decodes the partitions that this instance owns until ctx ends.
func Run(ctx context.Context, env *service.Env) error {
	metrics := NewMetrics(env.Telemetry.Registry)
	partitions := env.Bus.Partitions()
	return stage.Run(ctx, stage.Options{
		Name:   "decoder",
		Stream: bus.StreamRaw,
		Subjects: func(partition int) []string {
			return []string{"millrace.raw." + strconv.Itoa(partition) + ".*"}
		},
		Factory: func(int) (stage.Processor, error) {
			return New(Options{Partitions: partitions, Config: env.Config.Decoder, Metrics: metrics}), nil
		},
		Bus:        env.Bus,
		Telemetry:  env.Telemetry,
		Partitions: partitions,
	})
}
