package kube

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/service"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/targets"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// component is what /readyz calls the watches.
const component = "kubernetes"

var errListing = errors.New("pods, nodes, services, replicasets and jobs are being listed")

// Start watches the cluster until ctx ends, if there is one, and takes part in telling capture which pods to watch. It
// returns who may be asked by a partition, nil where there is no cluster, when everything was listed, or when that took
// longer than is allowed: then the service goes on without names, is not ready, and says why. stop ends the watches and
// waits until they have.
func Start(ctx context.Context, env *service.Env) (asker func(partition int) join.Asker, stop func(), err error) {
	cfg := env.Config.Attributes.Kubernetes
	state, err := newState(env)
	if err != nil {
		return nil, func() {}, err
	}
	rules, err := targets.Compile(env.Config.Discovery)
	if err != nil {
		return nil, func() {}, err
	}
	connection, err := Connect(cfg)
	if err != nil || connection == nil {
		if rules.Any() && err == nil {
			env.Telemetry.Log.Warn("rules of discovery name Kubernetes, and this enricher knows no cluster: unless another does, they match " +
				"nothing (attributes.kubernetes)")
		}
		return nil, func() {}, err
	}
	env.Telemetry.SetReady(component, errListing)
	hub := NewHub(func(ctx context.Context, partition int, batch *millracev1.LinkBatch) error {
		return publish(ctx, env.Bus, partition, batch)
	})
	var writer *targets.Writer // set before anything is watched
	cluster, err := NewCluster(connection, cfg, rules.Annotations(), func(object any) {
		hub.Changed(object)
		if node, matters := changedNode(object); matters {
			writer.Changed(node)
		}
	}, state.failed)
	if err != nil {
		return nil, func() {}, err
	}
	writer = targets.NewWriter(env.Bus, cluster, rules, rand.Text(), env.Telemetry.Log, state.targets(rules), &state.counters)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { cluster.Run(ctx) })
	wg.Go(func() { hub.Serve(ctx, cluster) })
	synced := make(chan struct{})
	wg.Go(func() {
		defer close(synced)
		if cluster.Wait(ctx) == nil {
			state.synced()
			wg.Go(func() { writer.Run(ctx) })
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
	// counters are of what is told capture.
	counters targets.Counters

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
	if err := s.registerTargets(); err != nil {
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

// registerTargets registers the metrics of what capture is told.
func (s *state) registerTargets() error {
	const prefix = "millrace_enricher_targets_"
	var errs []error
	for name, metric := range map[string]struct {
		help  string
		value *atomic.Uint64
	}{
		"written_total": {"Documents written that tell capture on a node which rules of discovery match its pods.", &s.counters.Written},
		"errors_total":  {"Attempts to write them, or to take the lease for it, that failed. They are made again.", &s.counters.Errors},
	} {
		errs = append(errs, s.env.Telemetry.Registry.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: prefix + name, Help: metric.help},
			func() float64 { return float64(metric.value.Load()) })))
	}
	for name, metric := range map[string]struct {
		help  string
		value *atomic.Int64
	}{
		"deciding": {"1 if this enricher is the one that writes them.", &s.counters.Deciding},
		"left_out": {"Pods that find no room in the document of their node.", &s.counters.LeftOut},
	} {
		errs = append(errs, s.env.Telemetry.Registry.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: prefix + name, Help: metric.help},
			func() float64 { return float64(metric.value.Load()) })))
	}
	return errors.Join(errs...)
}

// targets reports whether capture is told which pods to watch, where rules need it.
func (s *state) targets(rules *targets.Rules) func(error) {
	return func(err error) {
		if rules.Any() {
			s.env.Telemetry.SetReady("targets", err)
		}
	}
}
