package exporter

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/stage"
	"millrace.dev/services/exporter/internal/destination"
	"millrace.dev/services/exporter/internal/export"
	"millrace.dev/services/exporter/internal/sampling"
)

// component is the service's name in readiness and checkpoints.
const component = "exporter"

// shutdownTimeout bounds how long a destination may take to close.
const shutdownTimeout = 5 * time.Second

// CheckConfig reports mistakes in the exporters section, as the Collector's components state them, and in what sampling asks for.
func CheckConfig(cfg *config.Config) error {
	if _, err := sampling.Compile(&cfg.Sampling, cfg.Bus.Partitions); err != nil {
		return err
	}
	_, err := destination.New(cfg.Exporters, service.Version())
	return err
}

// Run hands spans to every destination of the configuration until ctx ends. Any number of instances may run; a file has one writer, so
// with exporters.file there should be one instance a file.
func Run(ctx context.Context, env *service.Env) error {
	version := service.Version()
	destinations, err := destination.New(env.Config.Exporters, version)
	if err != nil {
		return err
	}
	metrics, err := export.NewMetrics(env.Telemetry.Registry)
	if err != nil {
		return err
	}
	if len(destinations) == 0 {
		env.Telemetry.Log.Warn("no exporter is configured, spans stay on the bus; set one below exporters")
		env.Telemetry.SetReady(component, nil)
		<-ctx.Done()
		return nil
	}
	for _, d := range destinations {
		if err := d.Start(ctx); err != nil {
			return err
		}
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
			defer cancel()
			if err := d.Shutdown(closing); err != nil {
				env.Telemetry.Log.Warn("destination did not close", "exporter", d.Name(), "error", err)
			}
		}()
	}
	// From here on each destination's stage is a readiness component of its own.
	for _, d := range destinations {
		env.Telemetry.Announce(component + "-" + d.Name())
	}
	env.Telemetry.SetReady(component, nil)
	group, running := errgroup.WithContext(ctx)
	spans, err := startSampler(running, group, env)
	if err != nil {
		return err
	}
	for _, d := range destinations {
		if file, ok := d.(*destination.File); ok {
			group.Go(func() error { return reopenOnHangup(running, file) })
		}
		counters := metrics.Of(d.Name(), env.Telemetry.Log)
		group.Go(func() error {
			err := stage.Run(running, stage.Options{
				// The name is part of the checkpoint's key: each destination has a position of its own.
				Name:     component + "-" + d.Name(),
				Stream:   spans.stream,
				Subjects: spans.subjects,
				Factory: func(int) (stage.Processor, error) {
					return export.NewProcessor(d, counters), nil
				},
				Bus:       env.Bus,
				Telemetry: env.Telemetry,
			})
			if err != nil {
				return fmt.Errorf("exporter %s: %w", d.Name(), err)
			}
			return nil
		})
	}
	return group.Wait()
}

// reopenOnHangup serves log rotation that sends SIGHUP, which would end the process otherwise.
func reopenOnHangup(ctx context.Context, file *destination.File) error {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			_ = file.Reopen() // The next line opens the file that is at the path, or says why it cannot.
		}
	}
}
