package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/test/internal/natsserver"
	"millrace.dev/test/internal/product"
)

// services that are measured.
var services = []string{"decoder", "enricher", "exporter"}

const natsServer = "nats-server"

// system is a NATS server and services, each a process of its own.
type system struct {
	b         *bench
	directory string
	servers   *natsserver.Servers
	conn      *bus.Conn
	instances map[string][]*product.Instance
	exporters string // YAML of the exporter's destinations besides the file
}

// newSystem starts a NATS server with the streams of Millrace.
func (b *bench) newSystem(ctx context.Context, name string) (s *system, err error) {
	s = &system{b: b, directory: filepath.Join(b.directory, name), instances: map[string][]*product.Instance{}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := os.Mkdir(s.directory, 0o700); err != nil {
		return nil, err
	}
	if s.servers, err = natsserver.New(natsserver.Options{Binary: b.nats, Directory: s.directory}); err != nil {
		return nil, err
	}
	if err := s.servers.Start(0); err != nil {
		return nil, err
	}
	s.conn, err = connect(ctx, s.servers.URL())
	return s, err
}

// connect makes the streams on the server at url.
func connect(ctx context.Context, url string) (*bus.Conn, error) {
	cfg := config.Default().Bus
	cfg.URL = url
	conn, err := bus.Connect(ctx, cfg, fmt.Sprint("bench", os.Getpid()))
	if err != nil {
		return nil, err
	}
	return conn, bus.EnsureStreams(ctx, conn)
}

// launch starts an instance of a service, with settings in YAML. through is as in [product.Options].
func (s *system) launch(service, settings string, through []string) error {
	name := fmt.Sprint(service, len(s.instances[service]))
	settings = fmt.Sprintf("bus:\n  url: %s\n%s", s.servers.URL(), settings)
	if service == "exporter" {
		settings += fmt.Sprintf("exporters:\n  file:\n    path: %s\n%s", filepath.Join(s.directory, name+".jsonl"), s.exporters)
	}
	x, err := product.Start(product.Options{
		Binary: s.b.millrace, Arguments: []string{service}, Directory: s.directory, Name: name, NoFile: true, Through: through, Config: settings,
	})
	if err != nil {
		return err
	}
	s.instances[service] = append(s.instances[service], x)
	return nil
}

// ready waits until every instance is, and has its share of the partitions of each of its stages.
func (s *system) ready(ctx context.Context) error {
	for service, list := range s.instances {
		for _, x := range list {
			if err := x.Ready(30 * time.Second); err != nil {
				return fmt.Errorf("%s: %w\n%s", service, err, x.Log())
			}
		}
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if s.shared() {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("partitions are not shared out after 30 s")
		}
	}
}

// shared reports whether each instance owns as many partitions as the others of its service.
func (s *system) shared() bool {
	for _, list := range s.instances {
		for _, x := range list {
			owned, err := sums([]*product.Instance{x}, "millrace_stage_owned_partitions")
			if err != nil || len(owned) == 0 {
				return false
			}
			for _, n := range owned {
				if int(n) != s.conn.Partitions()/len(list) {
					return false
				}
			}
		}
	}
	return true
}

// cpu is what each service, and the server, has used so far, in seconds.
func (s *system) cpu() (map[string]float64, error) {
	pids := map[string][]int{natsServer: {s.servers.PID(0)}}
	for service, list := range s.instances {
		for _, x := range list {
			pids[service] = append(pids[service], x.PID())
		}
	}
	return usage(pids)
}

// close ends everything and removes what it has written.
func (s *system) close() {
	for _, list := range s.instances {
		for _, x := range list {
			_ = x.Stop() // Or it is killed.
		}
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if s.servers != nil {
		s.servers.Close()
	}
	_ = os.RemoveAll(s.directory)
}
