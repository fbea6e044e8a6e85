package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/config"
	"millrace.dev/lib/telemetry"
)

// Exit codes of a service.
const (
	// ExitOK is a clean stop.
	ExitOK = 0
	// ExitFailure is a service that could not go on.
	ExitFailure = 1
	// ExitUsage is a wrong flag or a wrong configuration: starting again without a change does not help.
	ExitUsage = 2
)

const (
	// Linger is how long a service that nobody goes on for keeps working after a signal to stop, so that signals to all
	// services of a machine may come one after the other.
	Linger = time.Second
	// StopTimeout bounds a stop after a signal: a stage reads to the end of its stream for up to 8 s, and hands over
	// for up to 8 s.
	StopTimeout = 20 * time.Second
)

// errStopTimeout is the error of a service that did not return in time.
var errStopTimeout = errors.New("did not stop within 20 s")

// Main is the main function of a service's command: it reads flags and configuration, runs the service until it fails
// or the process gets SIGTERM or SIGINT, and gives the exit code. After the first signal the service has [StopTimeout]
// to stop; a second one ends the process at once. A panic, in whichever goroutine, ends the process with its stack, as
// Go does.
func Main(name string, run Run) int { return mainOf(command{name: name, run: run}) }

// MainBeforeBus is [Main] for a service that works before there is a connection to NATS: it runs at once, and its
// [Env.Connection] waits for a server. tools are what the program can do besides, one of them instead of the service.
func MainBeforeBus(name string, run Run, tools ...Tool) int {
	return mainOf(command{name: name, run: run, beforeBus: true, tools: tools})
}

// Tool is something that a service's program does when it is called with the tool's name, with the configuration of the
// service, and then ends. What Run returns is the reason why the exit code is [ExitFailure].
type Tool struct {
	Name, About string
	Run         func(ctx context.Context, cfg *config.Config, out io.Writer) error
}

func mainOf(c command) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(ctx, stop) // From here on a signal has its default effect.
	c.args, c.environ, c.stdout, c.stderr, c.stopTimeout = os.Args[1:], os.Environ(), os.Stdout, os.Stderr, StopTimeout
	return c.main(ctx)
}

// command is one start of a service.
type command struct {
	name           string
	run            Run
	beforeBus      bool // run is called before there is a connection to NATS
	tools          []Tool
	args           []string
	environ        []string
	stdout, stderr io.Writer
	stopTimeout    time.Duration
}

func (c command) main(ctx context.Context) int {
	path, tool, code, done := c.parse()
	if done {
		return code
	}
	if tool != nil {
		return c.use(ctx, path, tool)
	}
	cfg, tel, err := c.prepare(path)
	if err != nil {
		_, _ = fmt.Fprintf(c.stderr, "millrace-%s: %v\n", c.name, err)
		return ExitUsage
	}
	if err := c.serve(ctx, cfg, tel); err != nil {
		tel.Log.Error("stopped", "error", err)
		return ExitFailure
	}
	tel.Log.Info("stopped")
	return ExitOK
}

// use runs a tool.
func (c command) use(ctx context.Context, path string, tool *Tool) int {
	cfg, err := config.Load(path, c.environ)
	code := ExitUsage
	if err == nil {
		code, err = ExitFailure, tool.Run(ctx, cfg, c.stdout)
	}
	if err != nil {
		_, _ = fmt.Fprintf(c.stderr, "millrace-%s %s: %v\n", c.name, tool.Name, err)
		return code
	}
	return ExitOK
}

// Start is [Main] for a command line that reads flags and handles signals itself: it runs the service with the
// configuration at path (none when path is empty) and the environment of the process until ctx ends, and gives the
// reason why it could not go on.
func Start(ctx context.Context, name, path string, run Run) error {
	return start(ctx, path, command{name: name, run: run})
}

// StartBeforeBus is to [Start] what [MainBeforeBus] is to [Main].
func StartBeforeBus(ctx context.Context, name, path string, run Run) error {
	return start(ctx, path, command{name: name, run: run, beforeBus: true})
}

func start(ctx context.Context, path string, c command) error {
	c.environ, c.stderr, c.stopTimeout = os.Environ(), os.Stderr, StopTimeout
	cfg, tel, err := c.prepare(path)
	if err != nil {
		return err
	}
	return c.serve(ctx, cfg, tel)
}

// prepare reads the configuration and makes what needs nothing but it.
func (c command) prepare(path string) (*config.Config, *telemetry.Telemetry, error) {
	cfg, err := config.Load(path, c.environ)
	if err != nil {
		return nil, nil, err
	}
	tel, err := telemetry.NewTo(c.stderr, cfg.Telemetry, c.name)
	if err != nil {
		return nil, nil, err
	}
	WarnInactive(tel.Log, cfg)
	return cfg, tel, nil
}

// parse reads the command line. done: there is nothing to run, code is the exit code. tool is nil for the service.
func (c command) parse() (path string, tool *Tool, code int, done bool) {
	flags := flag.NewFlagSet("millrace-"+c.name, flag.ContinueOnError)
	flags.SetOutput(c.stderr)
	flags.Usage = func() {
		_, _ = fmt.Fprintf(flags.Output(), "Usage: millrace-%s [--config file]\n       millrace-%s version\n", c.name, c.name)
		for _, t := range c.tools {
			_, _ = fmt.Fprintf(flags.Output(), "       millrace-%s [--config file] %s    %s\n", c.name, t.Name, t.About)
		}
		_, _ = fmt.Fprintf(flags.Output(), "\nRuns the %s of Millrace. Every key of the configuration has an environment variable, for example %s for bus.url.\n\n",
			c.name, config.EnvironmentName("bus.url"))
		flags.PrintDefaults()
	}
	flags.StringVar(&path, "config", lookup(c.environ, config.EnvConfig), "configuration `file` in YAML (default: "+config.EnvConfig+", else none)")
	version := flags.Bool("version", false, "print the version and exit")
	switch err := flags.Parse(c.args); {
	case errors.Is(err, flag.ErrHelp):
		return "", nil, ExitOK, true
	case err != nil:
		return "", nil, ExitUsage, true
	}
	if *version || flags.NArg() == 1 && flags.Arg(0) == "version" {
		_, _ = fmt.Fprintf(c.stdout, "millrace-%s %s\n", c.name, Version())
		return "", nil, ExitOK, true
	}
	for i := range c.tools {
		if flags.NArg() == 1 && flags.Arg(0) == c.tools[i].Name {
			return path, &c.tools[i], ExitOK, false
		}
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintf(c.stderr, "millrace-%s: unexpected argument %q; settings go into the configuration file\n", c.name, flags.Arg(0))
		return "", nil, ExitUsage, true
	}
	return path, nil, ExitOK, false
}

// serve runs the service with everything it needs, and takes it down again.
func (c command) serve(ctx context.Context, cfg *config.Config, tel *telemetry.Telemetry) error {
	listener, err := tel.Listen(ctx) // First: a taken address is a mistake that should show at once.
	if err != nil {
		return err
	}
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	defer group.Wait()
	defer stopServing() // Last: health is served until everything has stopped.
	if listener != nil {
		tel.Log.Info("serving health and metrics", "address", listener.Addr().String())
		group.Go(func() { serveTelemetry(serving, tel, listener) })
	}
	tel.Announce("bus", c.name)
	env := &Env{Config: cfg, Telemetry: tel}
	if c.beforeBus {
		var connecting sync.Mutex
		var conn *bus.Conn
		env.Connect = func(ctx context.Context) (_ *bus.Conn, err error) {
			connecting.Lock()
			defer connecting.Unlock()
			if conn == nil {
				conn, err = Connect(ctx, cfg, tel, c.name)
			}
			return conn, err
		}
		err := c.supervise(ctx, env)
		if connecting.TryLock() && conn != nil { // Held only by a service that did not stop in time.
			conn.Close()
		}
		return err
	}
	if env.Bus, err = Connect(ctx, cfg, tel, c.name); err != nil {
		return orStopped(ctx, err)
	}
	defer env.Bus.Close()
	return c.supervise(ctx, env)
}

func serveTelemetry(ctx context.Context, tel *telemetry.Telemetry, listener net.Listener) {
	if err := tel.ServeListener(ctx, listener); err != nil {
		tel.Log.Error("telemetry endpoint stopped", "error", err)
	}
}

// supervise runs the service until it returns, or has not returned in time after ctx ended.
func (c command) supervise(ctx context.Context, env *Env) error {
	env.Telemetry.Log.Info("starting", "version", Version())
	result := make(chan error, 1)
	go func() { result <- c.run(ctx, env) }() // Not recovered: a panic must be seen.
	select {
	case err := <-result:
		if err == nil && ctx.Err() == nil {
			return fmt.Errorf("%s ended by itself", c.name)
		}
		return orStopped(ctx, err)
	case <-ctx.Done():
	}
	env.Telemetry.Log.Info("stopping")
	env.Telemetry.SetReady(c.name, errors.New("stopping"))
	timer := time.NewTimer(c.stopTimeout)
	defer timer.Stop()
	select {
	case err := <-result:
		return orStopped(ctx, err)
	case <-timer.C:
		return fmt.Errorf("%s: %w", c.name, errStopTimeout)
	}
}

// orStopped drops the error of a service that ended because it was told to.
func orStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, ctx.Err())) {
		return nil
	}
	return err
}

// Connect connects to NATS, waiting for a server if need be, and creates or checks the streams that the service of that
// name uses. It logs once per change of the connection's state and keeps the readiness component "bus" up to date. It
// is apart from [Main] for the all-in-one, which gives the option of its embedded server.
func Connect(ctx context.Context, cfg *config.Config, tel *telemetry.Telemetry, clientName string, options ...nats.Option) (*bus.Conn, error) {
	report := &reporter{tel: tel, state: -1}
	tel.Announce("bus")
	node, err := cfg.Capture.NodeName()
	if err != nil {
		return nil, err
	}
	options = append([]nats.Option{nats.CustomInboxPrefix(access.InboxPrefix(clientName, node))}, options...)
	conn, err := bus.ConnectObserved(ctx, cfg.Bus, "millrace-"+clientName, report.observe, options...)
	if err != nil {
		return nil, err
	}
	err = observeConnection(tel.Registry, conn)
	if err == nil {
		err = ensure(ctx, conn, access.Streams(clientName), report)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	for _, stream := range conn.Drifted() {
		tel.Log.Warn("the limits of a stream are not those of the configuration, and these credentials may not change them", "stream", stream)
	}
	tel.SetReady("bus", nil)
	return conn, nil
}

// ensure creates or checks the streams, and tries again what may pass: JetStream that is still starting, or a cluster
// without a leader.
func ensure(ctx context.Context, conn *bus.Conn, streams []string, report *reporter) error {
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := bus.EnsureStreams(attempt, conn, streams...)
		cancel()
		if err == nil {
			report.observe(bus.Connected, nil)
			return nil
		}
		if !bus.Temporary(err) {
			return err
		}
		report.observe(bus.Waiting, err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last attempt: %w)", context.Cause(ctx), err)
		case <-time.After(wait):
		}
	}
}

// reporter logs changes of the state of the connection.
type reporter struct {
	tel *telemetry.Telemetry

	mu     sync.Mutex
	state  bus.State
	reason string
}

func (r *reporter) observe(state bus.State, err error) {
	reason := ""
	if err != nil {
		reason = err.Error()
	}
	r.mu.Lock()
	changed := state != r.state || reason != r.reason
	first := r.state == -1
	r.state, r.reason = state, reason
	r.mu.Unlock()
	switch {
	case state == bus.Waiting:
		r.tel.SetReady("bus", err)
		if changed {
			r.tel.Log.Warn("waiting for NATS", "error", err)
		}
	case state == bus.Connected && !first:
		r.tel.SetReady("bus", nil)
		if changed {
			r.tel.Log.Info("connected to NATS")
		}
	case state == bus.Closed:
		r.tel.SetReady("bus", bus.ErrClosed)
	}
}

// WarnInactive logs the keys that are set and have no effect in this version, and names in them that nothing has.
func WarnInactive(log *slog.Logger, cfg *config.Config) {
	for _, key := range cfg.Inactive() {
		log.Warn("this key has no effect in this version", "key", key)
	}
	for _, unmatched := range cfg.Unmatched() {
		log.Warn("this has no effect", "key", unmatched)
	}
}

// version is what a release was built as; the linker sets it.
var version string

// Version of the program: that of the release, that of the module, or the commit it was built from.
func Version() string {
	if version != "" {
		return version
	}
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := build.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.revision" {
			return "devel-" + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return "devel"
}

func lookup(environ []string, name string) string {
	for _, entry := range environ {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}
