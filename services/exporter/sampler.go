package exporter

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/sampling"
)

// samplerStage is the name of the stage in readiness and checkpoints.
const samplerStage = "sampler"

// samplerCheckpoints is the longest time between checkpoints. They hold every waiting span, so they are dearer than
// those of other stages.
const samplerCheckpoints = 10 * time.Second

// source is where a stage reads.
type source struct {
	stream   string
	subjects func(partition int) []string
}

// spanSource gives where destinations read spans: what the sampler kept, where there is one.
func spanSource(sampled bool) source {
	stream, prefix := bus.StreamSpan, "millrace.span."
	if sampled {
		stream, prefix = bus.StreamSampled, "millrace.sampled."
	}
	return source{stream, func(partition int) []string { return []string{prefix + strconv.Itoa(partition) + ".>"} }}
}

// startSampler starts the stage that decides about traces, where the configuration asks for one. What destinations read
// then says [spanSource].
func startSampler(ctx context.Context, group *errgroup.Group, env *service.Env) error {
	cfg := &env.Config.Sampling
	if !env.Config.Samples() {
		return nil
	}
	policies, err := sampling.Compile(cfg, env.Config.Discovery.Services, env.Bus.Partitions())
	if err != nil {
		return err
	}
	metrics, err := sampling.NewMetrics(env.Telemetry.Registry, policies)
	if err != nil {
		return err
	}
	settings := sampling.Settings{
		Partitions: env.Bus.Partitions(), Wait: cfg.DecisionWait, MaxTraces: cfg.NumTraces, MaxBytes: int(cfg.MaxBytes),
		Sampled: cfg.DecisionCache.SampledCacheSize, NotSampled: cfg.DecisionCache.NonSampledCacheSize,
	}
	env.Telemetry.Announce(samplerStage)
	group.Go(func() error {
		err := stage.Run(ctx, stage.Options{
			Name:           samplerStage,
			HighestVersion: schemaVersion,
			Stream:         bus.StreamSpan,
			Subjects:       spanSource(false).subjects,
			Factory: func(partition int) (stage.Processor, error) {
				return sampling.New(partition, settings, policies, metrics), nil
			},
			Bus:                env.Bus,
			Telemetry:          env.Telemetry,
			CheckpointInterval: samplerCheckpoints,
			MaxSnapshotBytes:   settings.MaxSnapshotBytes(),
			Upstream:           []string{"enricher"},
			Linger:             service.Linger,
		})
		if err != nil {
			return fmt.Errorf("exporter %s: %w", samplerStage, err)
		}
		return nil
	})
	return nil
}
