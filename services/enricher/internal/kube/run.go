package kube

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/services/enricher/internal/join"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// component is what /readyz calls the watches.
const component = "kubernetes"

var errListing = errors.New("pods, nodes, services, replicasets and jobs are being listed")

// Start watches the cluster until ctx ends, if there is one. It returns who may be asked by a partition, nil where
// there is no cluster, when everything was listed, or when that took longer than is allowed: then the service goes on
// without names, is not ready, and says why. stop ends the watches and waits until they have.
func Start(ctx context.Context, env *service.Env) (asker func(partition int) join.Asker, stop func(), err error) {
	cfg := env.Config.Attributes.Kubernetes
	state, err := newState(env)
	if err != nil {
		return nil, func() {}, err
	}
	connection, err := Connect(cfg)
	if err != nil || connection == nil {
		return nil, func() {}, err
	}
	env.Telemetry.SetReady(component, errListing)
	hub := NewHub(func(ctx context.Context, partition int, batch *millracev1.LinkBatch) error {
		return publish(ctx, env.Bus, partition, batch)
	})
	cluster, err := NewCluster(connection, cfg, hub.Changed, state.failed)
	if err != nil {
		return nil, func() {}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { cluster.Run(ctx) })
	wg.Go(func() { hub.Serve(ctx, cluster) })
	synced := make(chan struct{})
	wg.Go(func() {
		defer close(synced)
		if cluster.Wait(ctx) == nil {
			state.synced()
		}
	})
	select {
	case <-synced:
	case <-time.After(cfg.InformersSyncTimeout):
		env.Telemetry.Log.Warn("Kubernetes has not listed everything in time: spans of pods that are not known have no names of them",
			slog.Duration("waited", cfg.InformersSyncTimeout))
	case <-ctx.Done():
	}
	return func(partition int) join.Asker { return hub.Asker(partition) }, func() { cancel(); wg.Wait() }, nil
}

func publish(ctx context.Context, conn *bus.Conn, partition int, batch *millracev1.LinkBatch) error {
	data, err := batch.MarshalVT()
	if err != nil {
		return fmt.Errorf("identities of partition %d: %w", partition, err)
	}
	future, err := conn.Publish(ctx, bus.LinkSubject(partition), "", data)
	if err != nil {
		return fmt.Errorf("identities of partition %d: %w", partition, err)
	}
	if err := future.Wait(ctx); err != nil {
		return fmt.Errorf("identities of partition %d: %w", partition, err)
	}
	return nil
}

// state is what is said of the watches to operators.
type state struct {
	env    *service.Env
	errors *prometheus.CounterVec

	mu sync.Mutex
	// broken are the kinds that cannot be watched, with why; ready: everything was listed once.
	broken map[string]string
	ready  bool
}

func newState(env *service.Env) (*state, error) {
	s := &state{env: env, broken: map[string]string{}, errors: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_enricher_kubernetes_errors_total",
		Help: "Lists and watches of the Kubernetes API that failed, by kind of object. They are tried again.",
	}, []string{"kind"})}
	if err := env.Telemetry.Registry.Register(s.errors); err != nil {
		return nil, fmt.Errorf("register metrics of Kubernetes: %w", err)
	}
	for _, kind := range []string{kindPods, kindNodes, kindServices, kindReplicaSets, kindJobs} {
		s.errors.WithLabelValues(kind)
	}
	return s, nil
}

// failed takes that a kind cannot be watched, or with nil that it can again. A watch that breaks later costs nothing
// but freshness, so it does not make the service unready.
func (s *state) failed(kind string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if _, was := s.broken[kind]; was {
			delete(s.broken, kind)
			s.env.Telemetry.Log.Info("Kubernetes: watched again", slog.String("kind", kind))
		}
		return
	}
	s.errors.WithLabelValues(kind).Inc()
	if s.broken[kind] != err.Error() {
		s.broken[kind] = err.Error()
		s.env.Telemetry.Log.Warn("Kubernetes: cannot watch; trying again", slog.String("kind", kind), slog.Any("error", err))
	}
	if !s.ready {
		s.env.Telemetry.SetReady(component, fmt.Errorf("cannot list or watch %s: %w", kind, err))
	}
}

func (s *state) synced() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
	s.env.Telemetry.SetReady(component, nil)
}
