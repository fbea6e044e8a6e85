package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"millrace.dev/lib/config"
)

const (
	// MaxPayload of a message, in bytes: a batch grown by one large event must fit.
	MaxPayload = 8 << 20
	// startTimeout bounds recovery of file storage at start.
	startTimeout = 30 * time.Second
	// streamCount is how many streams of bus.max_bytes the storage must hold, and bucketBytes what buckets may take
	// besides.
	streamCount = 6
	bucketBytes = 256 << 20
)

// Server is a running NATS server.
type Server struct {
	server   *server.Server
	tempDir  string // removed by Shutdown
	password string // of the process itself; empty where the server asks for none
	shutdown sync.Once
}

// Option changes how [Start] starts the server.
type Option func(*settings)

type settings struct{ log *slog.Logger }

// WithLogger sends the server's warnings and errors to log, and everything else it says to log at debug level. Without
// it they go to [slog.Default].
func WithLogger(log *slog.Logger) Option { return func(s *settings) { s.log = log } }

// Start starts a server and waits until it takes connections. cfg.Storage, cfg.MaxBytes and cfg.Embedded matter; with
// memory storage, or without cfg.Embedded.StoreDir, what the server stores does not outlive it. It handles no
// signals: the caller ends it with [Server.Shutdown], after closing its connections. It does not listen beyond this
// machine without users (cfg.Embedded.UsersFile).
func Start(cfg config.Bus, options ...Option) (*Server, error) {
	settings := settings{log: slog.Default()}
	for _, option := range options {
		option(&settings)
	}
	s := &Server{}
	opts := &server.Options{
		ServerName: "millrace",
		DontListen: cfg.Embedded.Listen == "",
		NoSigs:     true,
		NoLog:      true, // It gets its logger below.
		MaxPayload: MaxPayload,
		JetStream:  true,
		// Storage is reserved per stream: make room for what EnsureStreams asks for, whatever the size of the machine.
		JetStreamMaxMemory: bucketBytes,
		JetStreamMaxStore:  bucketBytes,
	}
	if cfg.MaxBytes > 0 {
		if cfg.Storage == config.StorageFile {
			opts.JetStreamMaxStore += streamCount * int64(cfg.MaxBytes)
		} else {
			opts.JetStreamMaxMemory += streamCount * int64(cfg.MaxBytes)
		}
	}
	if err := s.secure(opts, cfg.Embedded); err != nil {
		return nil, err
	}
	if err := listen(opts, cfg.Embedded.Listen); err != nil {
		return nil, err
	}
	if err := s.storage(opts, cfg); err != nil {
		return nil, err
	}
	ns, err := server.NewServer(opts)
	if err != nil {
		s.removeTemp()
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	s.server = ns
	logger := &bridge{log: settings.log.With("component", "nats-server"), fatal: make(chan error, 1)}
	ns.SetLoggerV2(logger, false, false, false)
	ns.Start()
	if err := await(ns, logger, opts); err != nil {
		s.Shutdown()
		return nil, err
	}
	return s, nil
}

// listen checks the address first: the server itself would report a taken one through its logger and end the process.
func listen(opts *server.Options, address string) error {
	if address == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("bus.embedded.listen: %w: write host:port, for example 127.0.0.1:4222", err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return fmt.Errorf("bus.embedded.listen: port %q is not a number from 0 to 65535", port)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("bus.embedded.listen: %w: choose another address, or stop what listens there", err)
	}
	if err := listener.Close(); err != nil {
		return fmt.Errorf("bus.embedded.listen: %w", err)
	}
	opts.Host, opts.Port = host, int(number)
	if number == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return nil
}

// storage chooses the directory. JetStream wants one even if all streams are in memory.
func (s *Server) storage(opts *server.Options, cfg config.Bus) error {
	if cfg.Storage == config.StorageFile && cfg.Embedded.StoreDir != "" {
		opts.StoreDir = filepath.Clean(cfg.Embedded.StoreDir)
		if err := os.MkdirAll(opts.StoreDir, 0o700); err != nil {
			return fmt.Errorf("bus.embedded.store_dir: %w", err)
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "millrace-nats-")
	if err != nil {
		return fmt.Errorf("embedded NATS server: %w", err)
	}
	s.tempDir, opts.StoreDir = dir, dir
	return nil
}

func await(ns *server.Server, logger *bridge, opts *server.Options) error {
	deadline := time.Now().Add(startTimeout)
	for {
		select {
		case err := <-logger.fatal:
			return fmt.Errorf("embedded NATS server: %w", err)
		default:
		}
		// ReadyForConnections logs what it waits for at each call; short polls stay quiet.
		if ns.Running() && ns.JetStreamEnabled() && (opts.DontListen || ns.Addr() != nil) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("embedded NATS server: not ready after 30 s")
		}
		time.Sleep(time.Millisecond)
	}
}

// InProcess is the option with which a client in this process connects, without a network. It may do everything.
func (s *Server) InProcess() nats.Option { return s.own() }

// ClientURL is where other clients connect; empty when the server listens nowhere.
func (s *Server) ClientURL() string {
	if s.server.Addr() == nil {
		return ""
	}
	return s.server.ClientURL()
}

// Shutdown ends the server, closes what is connected to it, and removes temporary storage. Further calls do nothing.
func (s *Server) Shutdown() {
	s.shutdown.Do(func() {
		s.server.Shutdown()
		s.server.WaitForShutdown()
		s.removeTemp()
	})
}

func (s *Server) removeTemp() {
	if s.tempDir != "" {
		_ = os.RemoveAll(s.tempDir) // A leftover in the temporary directory is nobody's problem.
	}
}
