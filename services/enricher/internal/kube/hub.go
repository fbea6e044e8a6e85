package kube

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// place is what is asked about: a container of a pod, or an address.
type place struct {
	pod, container string
	address        netip.Addr
}

// question is a place with those that want to know.
type question struct {
	place place
	// told is what each asker was told last.
	told map[*Asker]answered
	// since is when it was asked first.
	since time.Time
}

// answered is what an asker was told: an encoded identity, or that its question was taken up; empty: nothing yet.
type answered string

const takenUp answered = "taken up"

// Hub knows which partitions want to know what, and tells them. Safe for concurrent use.
type Hub struct {
	cluster *Cluster
	// publish puts a message into the links of a partition. It may block for as long as the bus is away.
	publish func(ctx context.Context, partition int, batch *millracev1.LinkBatch) error
	// patience is how long an answer waits for what the cluster is about to tell.
	patience time.Duration

	mu        sync.Mutex
	questions map[place]*question
	// pods are the places of each pod; services those of each namespace that a Service answered for.
	pods     map[string]map[place]struct{}
	services map[string]map[place]struct{}
	due      map[place]struct{}
	wake     chan struct{}
}

// incompleteFor is how long an answer waits for what the cluster is about to tell: a container's id is in the status of
// its pod up to a second after the container has started.
const incompleteFor = 1500 * time.Millisecond

// gather is how long questions and changes wait for others.
const gather = 20 * time.Millisecond

// retry is when what could not be answered is looked at again without a change.
const retry = 250 * time.Millisecond

// NewHub makes a hub without a cluster; [Hub.Serve] gives it one.
func NewHub(publish func(ctx context.Context, partition int, batch *millracev1.LinkBatch) error) *Hub {
	return &Hub{
		publish: publish, patience: incompleteFor, questions: map[place]*question{}, pods: map[string]map[place]struct{}{},
		services: map[string]map[place]struct{}{}, due: map[place]struct{}{}, wake: make(chan struct{}, 1),
	}
}

// Changed takes an object of the cluster that came, changed or went.
func (h *Hub) Changed(object any) {
	if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
		object = gone.Obj
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o := object.(type) {
	case *corev1.Pod:
		for _, uid := range uidsOf(o) {
			for at := range h.pods[uid] {
				h.look(at)
			}
		}
		for _, ip := range o.Status.PodIPs {
			h.lookAt(ip.IP)
		}
		for at := range h.services[o.Namespace] {
			h.look(at)
		}
	case *corev1.Service:
		found, _ := serviceAddresses(o)
		for _, address := range found {
			h.lookAt(address)
		}
	case *corev1.Node:
		found, _ := nodeAddresses(o)
		for _, address := range found {
			h.lookAt(address)
		}
	}
}

func (h *Hub) lookAt(address string) {
	if a, err := netip.ParseAddr(address); err == nil {
		h.look(place{address: a.Unmap()})
	}
}

// look has a place looked at that somebody wants to know about.
func (h *Hub) look(at place) {
	if h.questions[at] == nil {
		return
	}
	h.due[at] = struct{}{}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

func (h *Hub) ask(asker *Asker, at place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.questions[at]
	if q == nil {
		q = &question{place: at, told: map[*Asker]answered{}, since: time.Now()}
		h.questions[at] = q
		if at.pod != "" {
			put(h.pods, at.pod, at)
		}
	}
	if _, asked := q.told[asker]; !asked {
		q.told[asker] = ""
		h.look(at)
	}
}

func (h *Hub) forget(asker *Asker, at place) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.questions[at]
	if q == nil {
		return
	}
	delete(q.told, asker)
	if len(q.told) > 0 {
		return
	}
	delete(h.questions, at)
	delete(h.due, at)
	remove(h.pods, at.pod, at)
	for namespace := range h.services {
		remove(h.services, namespace, at)
	}
}

func put(in map[string]map[place]struct{}, key string, at place) {
	if in[key] == nil {
		in[key] = map[place]struct{}{}
	}
	in[key][at] = struct{}{}
}

func remove(from map[string]map[place]struct{}, key string, at place) {
	delete(from[key], at)
	if len(from[key]) == 0 {
		delete(from, key)
	}
}

// Serve answers questions by what the cluster knows until ctx ends.
func (h *Hub) Serve(ctx context.Context, cluster *Cluster) {
	h.mu.Lock()
	h.cluster = cluster
	h.mu.Unlock()
	again := time.NewTicker(retry)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.wake:
		case <-again.C:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(gather):
		}
		for asker, batch := range h.answers() {
			if h.publish(ctx, asker.partition, batch) != nil {
				h.untell(asker, batch)
			}
		}
	}
}

// answers gives what is to be told to whom.
func (h *Hub) answers() map[*Asker]*millracev1.LinkBatch {
	h.mu.Lock()
	defer h.mu.Unlock()
	batches := map[*Asker]*millracev1.LinkBatch{}
	for at := range h.due {
		q := h.questions[at]
		batch := func(asker *Asker) *millracev1.LinkBatch {
			if batches[asker] == nil {
				batches[asker] = &millracev1.LinkBatch{Version: 1}
			}
			return batches[asker]
		}
		found, complete := h.answer(at)
		if wait := !complete && time.Since(q.since) < h.patience; wait || found == nil {
			for asker, told := range q.told {
				if told == "" && at.pod != "" {
					q.told[asker] = takenUp
					batch(asker).Asked = append(batch(asker).Asked, at.message())
				}
			}
			if wait {
				continue // It stays due.
			}
		}
		delete(h.due, at)
		var encoded answered
		if found != nil {
			if data, err := found.MarshalVT(); err == nil {
				encoded = answered(data)
			}
		}
		for asker, told := range q.told {
			if told == encoded || found == nil && told == takenUp {
				continue
			}
			q.told[asker] = encoded
			says := found
			if says == nil { // It was known, and is no more.
				says = at.message()
			}
			batch(asker).Identities = append(batch(asker).Identities, says)
		}
	}
	return batches
}

// message names a place and says nothing of it.
func (at place) message() *millracev1.Identity {
	return &millracev1.Identity{PodUid: at.pod, ContainerId: at.container, Address: at.address.AsSlice()}
}

func (h *Hub) answer(at place) (found *millracev1.Identity, complete bool) {
	if at.pod != "" {
		return h.cluster.container(at.pod, at.container)
	}
	found = h.cluster.address(at.address)
	if found.GetKind() == millracev1.IdentityKind_IDENTITY_KIND_SERVICE {
		for _, kv := range found.Attributes {
			if kv.Key == "k8s.namespace.name" {
				put(h.services, kv.GetStringValue(), at)
			}
		}
	}
	return found, true
}

// untell has what could not be published told again.
func (h *Hub) untell(asker *Asker, batch *millracev1.LinkBatch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, id := range slices.Concat(batch.Identities, batch.Asked) {
		at := place{pod: id.PodUid, container: id.ContainerId}
		if address, ok := netip.AddrFromSlice(id.Address); ok {
			at.address = address
		}
		if q := h.questions[at]; q != nil {
			if _, asked := q.told[asker]; asked {
				q.told[asker] = ""
				h.look(at)
			}
		}
	}
}

// Asker is what one partition asks. It implements the Asker of internal/join.
type Asker struct {
	hub       *Hub
	partition int
	mu        sync.Mutex
	asked     map[place]struct{}
}

// Asker makes the asker of a partition.
func (h *Hub) Asker(partition int) *Asker {
	return &Asker{hub: h, partition: partition, asked: map[place]struct{}{}}
}

// Pod asks for a container of a pod; container may be empty.
func (a *Asker) Pod(uid, container string) { a.ask(place{pod: uid, container: container}) }

// Address asks for what an address belongs to.
func (a *Asker) Address(address netip.Addr) { a.ask(place{address: address}) }

func (a *Asker) ask(at place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[at] = struct{}{}
	a.hub.ask(a, at)
}

// Forget says that the answer is of no interest any more.
func (a *Asker) Forget(uid, container string, address netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := place{pod: uid, container: container, address: address}
	delete(a.asked, at)
	a.hub.forget(a, at)
}

// Close says so of everything that was asked.
func (a *Asker) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for at := range a.asked {
		a.hub.forget(a, at)
	}
	clear(a.asked)
}
