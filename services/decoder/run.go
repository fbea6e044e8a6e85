package decoder

import (
	"context"
	"runtime"
	"strconv"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder/internal/processor"
)

// Run decodes the partitions that this instance owns until ctx ends.
func Run(ctx context.Context, env *service.Env) error {
	metrics := NewMetrics(env.Telemetry.Registry)
	pool := NewPool(runtime.GOMAXPROCS(0))
	layers := NewLayers(env.Config.EBPF.Layers())
	partitions := env.Bus.Partitions()
	return stage.Run(ctx, stage.Options{
		Name:   "decoder",
		Stream: bus.StreamRaw,
		Subjects: func(partition int) []string {
			return []string{"millrace.raw." + strconv.Itoa(partition) + ".*", bus.WatermarkSubject}
		},
		Factory: func(int) (stage.Processor, error) {
			return New(Options{
				Partitions: partitions, Config: env.Config.Decoder, PreparedStatements: env.Config.EBPF.PreparedStatements(), Pool: pool,
				Metrics: metrics, Layers: layers,
			}), nil
		},
		Progress: func(partitions []stage.Progress) (string, []byte) {
			return bus.ProgressSubject, progress(partitions)
		},
		Watermarks: func(partitions []stage.Progress) (string, []byte) {
			return bus.WatermarkSubject, progress(partitions)
		},
		HighestVersion: processor.Version,
		Bus:            env.Bus,
		Telemetry:      env.Telemetry,
		Partitions:     partitions,
		Linger:         service.Linger,
	})
}

// progress makes the message by which the enricher, or the other partitions, know what to wait for. A zero time is told
// as 0.
func progress(partitions []stage.Progress) []byte {
	batch := &millracev1.ProgressBatch{Version: 1}
	for _, p := range partitions {
		told := &millracev1.Progress{Partition: uint32(p.Partition)}
		if !p.Time.IsZero() {
			told.TimeUnixNs = uint64(p.Time.UnixNano())
		}
		batch.Partitions = append(batch.Partitions, told)
	}
	data, _ := batch.MarshalVT() // Marshalling fails on no message made here.
	return data
}
