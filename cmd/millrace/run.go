package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/pprof"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/capture"
	"millrace.dev/services/decoder"
	"millrace.dev/services/enricher"
	"millrace.dev/services/exporter"

	"millrace.dev/cmd/millrace/internal/live"
)

func runCommand() *cobra.Command {
	var quiet bool
	var profile string
	c := &cobra.Command{
		Use:   "run",
		Short: "Everything in one process, with NATS embedded, and a live view in the terminal",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stop, err := profileTo(profile)
			if err != nil {
				return err
			}
			return errors.Join(runAll(cmd.Context(), cmd.OutOrStdout(), quiet), stop())
		},
	}
	c.Flags().StringVar(&profile, "cpuprofile", "", "write a CPU profile of this process to a file, for go tool pprof")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "no live view, only logs")
	return c
}

// profileTo starts a CPU profile; stop ends and closes it. Without a path it does nothing.
func profileTo(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create CPU profile: %w", err)
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("start CPU profile: %w", err), file.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		return file.Close()
	}, nil
}

func runAll(ctx context.Context, out io.Writer, quiet bool) error {
	cfg, err := config.Load(configPath, os.Environ())
	if err != nil {
		return err
	}
	screen := !quiet && term.IsTerminal(int(os.Stdout.Fd()))
	notices := &live.Notices{}
	logs := io.Writer(os.Stderr)
	if screen && term.IsTerminal(int(os.Stderr.Fd())) {
		logs = notices // lines between the screen's would tear it
	}
	tel, err := telemetry.NewTo(logs, cfg.Telemetry, "millrace")
	if err != nil {
		return err
	}
	tel.Announce("capture", "decoder", "enricher")
	listener, err := tel.Listen(ctx) // first: a taken address is a mistake that should show at once
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing() // last: health is served until everything has stopped
	group, ctx := errgroup.WithContext(ctx)
	if listener != nil {
		go func() {
			if err := tel.ServeListener(serving, listener); err != nil {
				tel.Log.Error("telemetry endpoint stopped", "error", err)
			}
		}()
	}
	service.WarnInactive(tel.Log, cfg)
	pipeline := newPipeline(cfg, tel)
	defer pipeline.Close()
	// First: what happens while NATS is not there yet waits in the send buffer.
	captured := make(chan struct{})
	pipeline.start(ctx, group, func(ctx context.Context, env *service.Env) error {
		defer close(captured)
		return pipeline.captureApart(ctx, env)
	}, "capture")
	if err := pipeline.open(ctx); err != nil {
		if ctx.Err() != nil { // by a signal, or because capture ended: it knows why
			return ended(wait(ctx, group))
		}
		cancel()
		return errors.Join(err, ended(wait(ctx, group)))
	}
	// Last to stop: they read what capture has seen to the end.
	readers, stopReaders := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReaders()
	group.Go(func() error {
		stopAfter(ctx, captured)
		stopReaders()
		return nil
	})
	pipeline.start(readers, group, decoder.Run, "decoder")
	pipeline.start(readers, group, enricher.Run, "enricher")
	pipeline.start(readers, group, exporter.Run, "exporter")
	if !quiet {
		group.Go(func() error {
			defer cancel() // leaving the screen ends the program
			return live.Show(ctx, live.Options{Bus: pipeline.env.Bus, Gatherer: tel.Registry, Node: nodeName(cfg), Notices: notices, Terminal: screen, Out: out})
		})
	}
	return ended(wait(ctx, group))
}

// captureTimeout bounds how long the others wait for the last words of capture.
const captureTimeout = 5 * time.Second

// stopAfter waits until ctx has ended, and then until capture has as well.
func stopAfter(ctx context.Context, captured <-chan struct{}) {
	<-ctx.Done()
	select {
	case <-captured:
	case <-time.After(captureTimeout):
	}
}

// wait waits for the services; when they do not stop in time, it leaves them to the end of the process.
func wait(ctx context.Context, group *errgroup.Group) error {
	result := make(chan error, 1)
	go func() { result <- group.Wait() }()
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-result:
		return err
	case <-time.After(captureTimeout + service.StopTimeout):
		return fmt.Errorf("did not stop within %v", captureTimeout+service.StopTimeout)
	}
}

// ended drops the error of a group that ended because it was told to.
func ended(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func nodeName(cfg *config.Config) string {
	if cfg.Capture.Node != "" {
		return cfg.Capture.Node
	}
	name, err := os.Hostname()
	if err != nil {
		return "this machine"
	}
	return name
}

// pipeline is the bus of an all-in-one process and what its services share.
type pipeline struct {
	env    *service.Env
	server *embedded.Server // nil with an external bus
	opened chan struct{}    // closed when env.Bus is there
}

func newPipeline(cfg *config.Config, tel *telemetry.Telemetry) *pipeline {
	return &pipeline{env: &service.Env{Config: cfg, Telemetry: tel}, opened: make(chan struct{})}
}

// captureApart runs capture, which needs no connection to begin with, and later has one of its own: what it has seen
// must not be dropped because a burst of spans waits to be stored.
func (p *pipeline) captureApart(ctx context.Context, env *service.Env) error {
	apart := service.Env{Config: env.Config, Telemetry: env.Telemetry, Connect: func(ctx context.Context) (*bus.Conn, error) {
		select {
		case <-p.opened:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		conn, err := p.env.Bus.Apart(ctx, "capture")
		if err != nil {
			return nil, fmt.Errorf("connect to NATS: %w", err)
		}
		return conn, nil
	}}
	return capture.RunBeside(ctx, &apart, besides(env.Config))
}

// open starts the embedded NATS server if the configuration names no other, connects, and makes the streams.
func (p *pipeline) open(ctx context.Context) error {
	cfg, tel := p.env.Config, p.env.Telemetry
	var options []nats.Option
	if cfg.Bus.URL == "" {
		server, err := embedded.Start(cfg.Bus, embedded.WithLogger(tel.Log))
		if err != nil {
			return fmt.Errorf("start the embedded NATS server: %w", err)
		}
		p.server = server
		options = append(options, server.InProcess())
	}
	conn, err := service.Connect(ctx, cfg, tel, "all", options...)
	if err != nil {
		return fmt.Errorf("connect to NATS: %w", err)
	}
	p.env.Bus = conn
	close(p.opened)
	return nil
}

// start runs one service in the group; its failure ends the others.
func (p *pipeline) start(ctx context.Context, group *errgroup.Group, run func(context.Context, *service.Env) error, name string) {
	group.Go(func() error {
		if err := run(ctx, p.env); err != nil && ctx.Err() == nil {
			p.env.Telemetry.Log.Error("service ended", slog.String("service", name), slog.Any("error", err))
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// Close disconnects and stops the embedded server.
func (p *pipeline) Close() {
	if p.env.Bus != nil {
		p.env.Bus.Close()
	}
	if p.server != nil {
		p.server.Shutdown()
	}
}
