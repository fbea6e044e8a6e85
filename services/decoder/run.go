package decoder

import (
	"context"
	"runtime"
	"strconv"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Run decodes the partitions that this instance owns until ctx ends.
func Run(ctx context.Context, env *service.Env) error {
	metrics := NewMetrics(env.Telemetry.Registry)
	pool := NewPool(runtime.GOMAXPROCS(0))
	partitions := env.Bus.Partitions()
	return stage.Run(ctx, stage.Options{
		Name:   "decoder",
		Stream: bus.StreamRaw,
		Subjects: func(partition int) []string {
			return []string{"millrace.raw." + strconv.Itoa(partition) + ".*", bus.NodeProgressPrefix + "*"}
		},
		Factory: func(int) (stage.Processor, error) {
			return New(Options{Partitions: partitions, Config: env.Config.Decoder, Pool: pool, Metrics: metrics}), nil
		},
		Progress:   progress,
		Bus:        env.Bus,
		Telemetry:  env.Telemetry,
		Partitions: partitions,
	})
}

// progress makes the message by which the enricher knows what to wait for.
func progress(partitions []stage.Progress) (subject string, data []byte) {
	batch := &millracev1.ProgressBatch{Version: 1}
	for _, p := range partitions {
		batch.Partitions = append(batch.Partitions, &millracev1.Progress{Partition: uint32(p.Partition), TimeUnixNs: uint64(p.Time.UnixNano())})
	}
	data, _ = batch.MarshalVT() // Marshalling fails on no message made here.
	return bus.ProgressSubject, data
}
