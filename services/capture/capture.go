package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/services/capture/internal/announce"
	"millrace.dev/services/capture/internal/container"
	"millrace.dev/services/capture/internal/goruntime"
	"millrace.dev/services/capture/internal/host"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/machine"
	"millrace.dev/services/capture/internal/pipeline"
	"millrace.dev/services/capture/internal/process"
	"millrace.dev/services/capture/internal/selection"
	"millrace.dev/services/capture/internal/send"
	"millrace.dev/services/capture/internal/targets"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// component is the name under which capture reports readiness.
const component = "capture"

// ensureTimeout bounds one attempt to find or make the stream of raw events, ensureInterval is the time between two.
const (
	ensureTimeout  = 5 * time.Second
	ensureInterval = time.Second
)

// minRing is the smallest ring buffer that the kernel side takes; less is configured only in error.
const minRing = 256 << 10

// Run captures until ctx ends, from before there is a connection to NATS: what it sees until then waits in the send
// buffer. It fails when the kernel side cannot be loaded, with an error that says what is missing
// and what to do ([Doctor] says more), or when the bus connection is closed.
//
// Unless capture.drop_privileges is off, the whole process keeps only what capture needs of its privileges from then
// on.
func Run(ctx context.Context, env *service.Env) error { return RunBeside(ctx, env, Beside{}) }

// describe says what machine this is.
func describe(ctx context.Context, cfg config.Capture, log *slog.Logger) *millracev1.Host {
	h := host.Read(machine.Of())
	if cfg.CloudMetadata {
		if err := host.Ask(ctx, h); err != nil {
			log.Warn("attributes of the cloud are those that the machine has in files", "reason", err)
		}
	}
	return h
}

// RunBeside is [Run] in a process that other parts of Millrace share.
func RunBeside(ctx context.Context, env *service.Env, others Beside) error {
	env.Telemetry.SetReady(component, errors.New("starting"))
	cfg := env.Config.Capture
	node, err := cfg.NodeName()
	if err != nil {
		return err
	}
	rules, err := selection.New(env.Config.Discovery, uint32(os.Getpid()))
	if err != nil {
		return err
	}
	loads := objectsOf()
	logObjects(env.Telemetry.Log, loads)
	if err := checkObjects(loads, cfg.AllowedObjects); err != nil {
		return err
	}
	inventory, err := process.New(node)
	if err != nil {
		return err
	}
	inventory.Describe(describe(ctx, cfg, env.Telemetry.Log), container.NewReader(machine.Of()))
	// The slow part of the first look comes before the kernel side records anything, the rest after.
	if err := inventory.Scan(); err != nil {
		return err
	}
	with := parts{node: node, rules: rules, inventory: inventory, connect: func(ctx context.Context) (*bus.Conn, error) {
		return connect(ctx, env)
	}}
	options := kernelOptions(cfg)
	for _, port := range env.Config.DNS.Ports {
		options.DatagramPorts = append(options.DatagramPorts, uint16(port))
	}
	options.RulePorts, options.PortsDecide = rules.Ports()
	if env.Config.Flows() {
		options.FlowInterval = env.Config.Network.CacheActiveTimeout
	}
	options.Prepare = func(k *kernel.Kernel) { with.probes = probes(env.Telemetry.Log, k) }
	k, err := kernel.Attach(options)
	if err != nil {
		if with.probes != nil {
			_ = with.probes.Close() // Why capture did not start says more.
		}
		return fmt.Errorf("start the kernel side: %w", err)
	}
	defer func() { _ = k.Close() }() // For the early returns; run closes it and reports the error.
	report(env.Telemetry.Log, k.Features())
	inventory.Watch(listeners{k})
	with.source, with.features = k, k.Features()
	if cfg.DropPrivileges {
		drop(env.Telemetry.Log, needs(with.probes)|others.needs())
	}
	return run(ctx, env, with)
}

func kernelOptions(cfg config.Capture) kernel.Options {
	return kernel.Options{
		RingBytes: max(int(cfg.RingBuffer), minRing), PayloadBytes: cfg.PayloadBytes, MessageBytes: cfg.MessageBytes, CgroupPrefix: cfg.CgroupPrefix,
		MaxConnections: maxConnections(cfg), NoArrivalTimes: !cfg.ArrivalTimes,
	}
}

// report says once what works.
func report(log *slog.Logger, features []kernel.Feature) {
	for _, f := range features {
		if !f.Active {
			log.Warn("a feature of the kernel side is not active", "feature", f.Name, "lost", f.Lost, "reason", f.Reason)
		}
	}
}

// goProbes are probes of Go runtimes that may be closed; nil where the kernel cannot have them.
type goProbes interface {
	pipeline.Runtimes
	NeedAdmin() bool
	Close() error
}

func probes(log *slog.Logger, k *kernel.Kernel) goProbes {
	events, policies, losses := k.Maps()
	p, err := goruntime.NewProbes(goruntime.Maps{Events: events, Policies: policies, Losses: losses}, goruntime.Options{
		Failed: func(executable string, err error) {
			log.Warn("a Go program is followed less surely", "executable", executable, "reason", err)
		},
	})
	if err != nil {
		log.Warn("Go programs are followed by thread only: causes of their outgoing requests may be missing", "reason", err)
		return nil
	}
	return p
}

// podsComponent is the part of capture that is ready when what rules about pods match is decided.
const podsComponent = "pods"

// inCluster reports whether somebody may decide about pods. Elsewhere nobody ever will: the log says so, and capture
// does its job.
func inCluster(cfg *config.Config) bool {
	return os.Getenv("KUBERNETES_SERVICE_HOST") != "" || cfg.Attributes.Kubernetes.Enable == "true"
}

// parts are what run puts together.
type parts struct {
	node      string
	rules     *selection.Rules
	inventory *process.Inventory
	source    kernel.Source
	probes    goProbes
	features  []kernel.Feature
	// connect waits for NATS and for the stream of raw events.
	connect func(context.Context) (*bus.Conn, error)
}

func run(ctx context.Context, env *service.Env, with parts) error {
	cfg := env.Config.Capture
	sender := send.New(int(cfg.SendBuffer), env.Config.Bus.Compression)
	options := pipeline.Options{
		Node: with.node, Epoch: uint64(time.Now().UnixNano()), Partitions: env.Config.Bus.Partitions, Config: cfg,
		Layers: env.Config.EBPF.Layers(),
		Rules:  with.rules, Inventory: with.inventory, Source: with.source, Output: sender, MaxConnections: maxConnections(cfg),
	}
	mayBeDecided := inCluster(env.Config)
	pods := targets.NewWatcher(with.node, with.rules.PodRules(), env.Telemetry.Log, func(reason error) {
		if mayBeDecided {
			env.Telemetry.SetReady(podsComponent, reason)
		}
	})
	options.Tables, options.PodWait = pods.Tables(), env.Config.Discovery.PodWait
	options.PodWaitBytes = int(env.Config.Discovery.PodWaitBytes)
	services := announce.New(with.node)
	options.Services = services.Offer
	closeProbes := func() error { return nil }
	if with.probes != nil {
		options.Runtimes = with.probes
		closeProbes = sync.OnceValue(with.probes.Close)
	}
	defer func() { _ = closeProbes() }() // For the early returns; the error is reported below.
	p, err := pipeline.New(options)
	if err != nil {
		return err
	}
	tell := &teller{node: with.node, epoch: options.Epoch, read: p, waiting: sender}
	unregister, err := register(env.Telemetry.Registry, measured{p.Counters(), sender, with.source, tell.lag, with.features})
	if err != nil {
		return err
	}
	defer unregister()

	var background sync.WaitGroup
	defer background.Wait()
	working, stopWork := context.WithCancel(ctx)
	defer stopWork()
	background.Go(func() { with.inventory.Work(working) })
	watch := &health{tel: env.Telemetry, tables: with.source.Tables, counters: p.Counters()}
	var watching sync.WaitGroup
	if options.Runtimes != nil {
		watching.Go(func() { p.WatchRuntimes(working) })
	}
	// The sender outlives the reader, so that what the reader finishes with still goes out.
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	failed := make(chan error, 1)
	defer stopSending()
	background.Go(func() {
		conn, err := with.connect(ctx)
		if err != nil {
			if ctx.Err() == nil {
				failed <- err
			}
			return
		}
		background.Go(func() { services.Run(working, conn, env.Telemetry.Log) })
		background.Go(func() { pods.Run(working, conn) })
		background.Go(func() { tell.run(sending, conn) })
		if err := sender.Run(sending, conn); err != nil {
			failed <- fmt.Errorf("publish: %w", err)
		}
	})

	p.Start()
	stopped := make(chan error, 1)
	go func() { stopped <- with.source.Run(p.Handle, p.Idle) }()
	env.Telemetry.SetReady(component, nil)
	watching.Go(func() { watch.run(working) })
	env.Telemetry.Log.Info("capturing", "node", with.node, "processes", p.Counters().Processes(), "partitions", options.Partitions)

	var cause error
	select {
	case <-ctx.Done():
	case cause = <-failed:
	case err := <-stopped:
		if cause = err; err == nil {
			cause = errors.New("the kernel side's reader ended")
		}
		stopped <- nil
	}
	// The probes share the source's maps, so they go first.
	stopWork()
	watching.Wait()
	env.Telemetry.SetReady(component, errors.New("stopping"))
	if err := closeProbes(); err != nil {
		cause = errors.Join(cause, fmt.Errorf("close the Go probes: %w", err))
	}
	if err := with.source.Close(); err != nil {
		cause = errors.Join(cause, fmt.Errorf("close the kernel side: %w", err))
	}
	if err := <-stopped; err != nil && cause == nil {
		cause = fmt.Errorf("read events: %w", err)
	}
	p.Finish()
	stopSending()
	background.Wait()
	if left := sender.Waiting(); left > 0 {
		env.Telemetry.Log.Warn("events are lost that NATS has not taken before the end", "events", left)
	}
	if cause == nil {
		tell.end()
	}
	return cause
}

// connect waits for NATS and for the stream of raw events. What cannot pass fails: settings that can never work, or a
// stream that is not as the configuration says.
func connect(ctx context.Context, env *service.Env) (*bus.Conn, error) {
	conn, err := env.Connection(ctx)
	if err != nil {
		return nil, err
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, ensureTimeout)
		err := bus.EnsureStreams(attempt, conn, bus.StreamRaw)
		cancel()
		if err == nil {
			return conn, nil
		}
		if !bus.Temporary(err) || ctx.Err() != nil {
			return nil, fmt.Errorf("streams: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(ensureInterval):
		}
	}
}
