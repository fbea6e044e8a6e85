// Package natsserver runs NATS servers as processes of their own: one, or a cluster of three, that can be killed and
// started again.
package natsserver

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"millrace.dev/test/internal/product"
)

// Package is where the server's main package is.
const Package = "github.com/nats-io/nats-server/v2"

// Options of [New].
type Options struct {
	Binary    string
	Directory string // of configuration, logs and stores
	// Nodes is 1 or 3. Default 1.
	Nodes int
	// Host to listen on for clients. Default 127.0.0.1.
	Host string
	// Store overrides the directory of the first node's store.
	Store string
	// MaxFile is max_file_store. Default 8GB.
	MaxFile string
}

// Servers are one server or a cluster. Not safe for concurrent use.
type Servers struct {
	options Options
	clients []int
	routes  []int
	nodes   []*exec.Cmd
}

// New finds ports; nothing runs yet.
func New(o Options) (*Servers, error) {
	if o.Nodes == 0 {
		o.Nodes = 1
	}
	if o.Host == "" {
		o.Host = "127.0.0.1"
	}
	if o.MaxFile == "" {
		o.MaxFile = "8GB"
	}
	s := &Servers{options: o, nodes: make([]*exec.Cmd, o.Nodes)}
	for range o.Nodes {
		for _, to := range []*[]int{&s.clients, &s.routes} {
			port, err := product.FreePort()
			if err != nil {
				return nil, err
			}
			*to = append(*to, port)
		}
	}
	return s, nil
}

// Start starts node n, with what its store holds, and waits until it listens.
func (s *Servers) Start(n int) error {
	store := s.options.Store
	if store == "" || n > 0 {
		store = filepath.Join(s.options.Directory, fmt.Sprint("store", n))
	}
	text := fmt.Sprintf("server_name: n%d\nlisten: \"%s:%d\"\nmax_payload: 8MB\njetstream { store_dir: %q, max_file_store: %s, max_memory_store: 2GB }\n",
		n, s.options.Host, s.clients[n], store, s.options.MaxFile)
	if s.options.Nodes > 1 {
		var routes []string
		for _, port := range s.routes {
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
		}
		text += fmt.Sprintf("cluster { name: chaos, listen: \"127.0.0.1:%d\", routes: [%s] }\n", s.routes[n], strings.Join(routes, ", "))
	}
	file := filepath.Join(s.options.Directory, fmt.Sprintf("nats%d.conf", n))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	s.nodes[n] = exec.Command(s.options.Binary, "-c", file, "-l", s.log(n))
	if err := s.nodes[n].Start(); err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", net.JoinHostPort(s.options.Host, strconv.Itoa(s.clients[n])))
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("NATS node %d does not listen: %w; log: %s", n, err, s.Log(n))
		}
	}
}

// Stop ends node n in an orderly way, Kill at once; both wait for its end.
func (s *Servers) Stop(n int) error { return s.end(n, syscall.SIGTERM) }

// Kill ends node n at once.
func (s *Servers) Kill(n int) error { return s.end(n, syscall.SIGKILL) }

func (s *Servers) end(n int, signal syscall.Signal) error {
	if s.nodes[n] == nil {
		return nil
	}
	if err := s.nodes[n].Process.Signal(signal); err != nil {
		return fmt.Errorf("signal NATS: %w", err)
	}
	err := s.nodes[n].Wait()
	s.nodes[n] = nil
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil // It was told to.
	}
	return err
}

// Close kills what runs.
func (s *Servers) Close() {
	for n := range s.nodes {
		_ = s.Kill(n) // It may have ended by itself.
	}
}

// URL of all nodes, for clients.
func (s *Servers) URL() string {
	var urls []string
	for _, port := range s.clients {
		urls = append(urls, fmt.Sprintf("nats://%s:%d", s.options.Host, port))
	}
	return strings.Join(urls, ",")
}

// PID of node n, which runs.
func (s *Servers) PID(n int) int { return s.nodes[n].Process.Pid }

func (s *Servers) log(n int) string {
	return filepath.Join(s.options.Directory, fmt.Sprintf("nats%d.log", n))
}

// Log is what node n has printed, the end of it.
func (s *Servers) Log(n int) string {
	b, err := os.ReadFile(s.log(n))
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}
