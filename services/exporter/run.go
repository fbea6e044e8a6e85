package exporter

import (
	"context"
	"errors"
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
	"millrace.dev/services/exporter/internal/sampling"
	"millrace.dev/services/exporter/internal/scrape"
)

// component is the service's name in readiness and checkpoints.
const component = "exporter"

// shutdownTimeout bounds how long a destination may take to close.
const shutdownTimeout = 5 * time.Second

// CheckConfig reports mistakes in the exporters section, as the Collector's components state them, and in what sampling
// asks for.
func CheckConfig(cfg *config.Config) error {
	if _, err := sampling.Compile(&cfg.Sampling, cfg.Discovery.Services, cfg.Bus.Partitions); err != nil {
		return err
	}
	_, err := destination.New(cfg.Exporters, service.Version())
	if p := cfg.Exporters.Prometheus; p != nil && p.Endpoint == "" {
		err = errors.Join(err, errors.New("exporters.prometheus.endpoint: must be set"))
	}
	return err
}

// Run hands spans and metrics to every destination of the configuration until ctx ends. Any number of instances may
// run; a file has one writer, so with exporters.file there should be one instance a file.
func Run(ctx context.Context, env *service.Env) error {
	if err := CheckConfig(env.Config); err != nil {
		return err
	}
	destinations, err := destination.New(env.Config.Exporters, service.Version())
	if err != nil {
		return err
	}
	stages, err := newStages(env)
	if err != nil {
		return err
	}
	var server *scrape.Server
	if p := env.Config.Exporters.Prometheus; p != nil {
		if server, err = scrape.Listen(p.Endpoint, env.Telemetry.Registry); err != nil {
			return fmt.Errorf("exporters.prometheus.endpoint: %w", err)
		}
		stages.addScrape(server)
	}
	for _, d := range destinations {
		if err := d.Start(ctx); err != nil {
			return err
		}
		defer shutDown(ctx, env, d)
		stages.add(d)
	}
	if len(stages.all) == 0 {
		env.Telemetry.Log.Warn("no exporter is configured, spans and metrics stay on the bus; set one below exporters")
		env.Telemetry.SetReady(component, nil)
		<-ctx.Done()
		return nil
	}
	// From here on each stage is a readiness component of its own.
	for _, options := range stages.all {
		env.Telemetry.Announce(options.Name)
	}
	env.Telemetry.SetReady(component, nil)
	group, running := errgroup.WithContext(ctx)
	if server != nil {
		group.Go(func() error { return server.Serve(running) })
	}
	if err := startSampler(running, group, env); err != nil {
		return err
	}
	for _, d := range destinations {
		if file, ok := d.(*destination.File); ok {
			group.Go(func() error { return reopenOnHangup(running, file) })
		}
	}
	for _, options := range stages.all {
		group.Go(func() error {
			if err := stage.Run(running, options); err != nil {
				return fmt.Errorf("stage %s: %w", options.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func shutDown(ctx context.Context, env *service.Env, d destination.Destination) {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := d.Shutdown(closing); err != nil {
		env.Telemetry.Log.Warn("destination did not close", "exporter", d.Name(), "error", err)
	}
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
