// Package servicefeed follows the services that capture found: processes that listen, with traffic or without.
package servicefeed

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/enricher"
)

// Service is the processes of one name.
type Service struct {
	Name      string
	Language  string
	Ports     []uint32 // ascending
	Processes int
}

// Feed is the services of now. Safe for concurrent use.
type Feed struct {
	mutex     sync.Mutex
	processes map[string]*millracev1.Process // by key of the bucket
}

// New makes an empty feed.
func New() *Feed { return &Feed{processes: map[string]*millracev1.Process{}} }

// Run follows the bucket until ctx ends.
func (f *Feed) Run(ctx context.Context, conn *bus.Conn) error {
	kv, err := conn.KeyValue(ctx, bus.BucketProcesses)
	if err != nil {
		return err
	}
	watcher, err := kv.WatchAll(ctx)
	if err != nil {
		return fmt.Errorf("watch processes: %w", err)
	}
	defer func() { _ = watcher.Stop() }() // it ended or it will with the connection
	for {
		select {
		case <-ctx.Done():
			return nil
		case entry, open := <-watcher.Updates():
			if !open {
				return nil
			}
			if entry != nil { // nil says that what was there is told
				f.take(entry.Key(), entry.Operation() == jetstream.KeyValuePut, entry.Value())
			}
		}
	}
}

func (f *Feed) take(key string, put bool, facts []byte) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.processes, key)
	if !put {
		return
	}
	var p millracev1.Process
	if p.UnmarshalVT(facts) == nil {
		f.processes[key] = &p
	}
}

// Services gives the services by name.
func (f *Feed) Services() []Service {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	byName := map[string]*Service{}
	for _, p := range f.processes {
		name := enricher.ServiceName(p)
		s := byName[name]
		if s == nil {
			s = &Service{Name: name, Language: p.GetLanguage()}
			byName[name] = s
		}
		s.Processes++
		s.Ports = append(s.Ports, p.GetListenPorts()...)
	}
	services := make([]Service, 0, len(byName))
	for _, s := range byName {
		slices.Sort(s.Ports)
		s.Ports = slices.Compact(s.Ports)
		services = append(services, *s)
	}
	slices.SortFunc(services, func(a, b Service) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return services
}
