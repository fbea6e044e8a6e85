package join

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/wire"
	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// process is a process with its resource, encoded once.
type process struct {
	identity *resource.Identity
	// named is what the cluster says of the process's container; nil: it is in none, or there is nobody to ask.
	named *named
	// next is the same process under another identity; nil: there is none.
	next      *process
	service   string
	namespace string
	// head begins every span batch of the process.
	head []byte
	// batches under construction and subjects, by span partition.
	batches  [][]byte
	subjects []string
	usedAt   int64
	// encoded is the message of the facts.
	encoded []byte
}

func newProcess(facts *millracev1.Process, n *named, partitions int) *process {
	i := &resource.Identity{Process: facts}
	if n != nil && n.identity.GetKind() != millracev1.IdentityKind_IDENTITY_KIND_UNSPECIFIED {
		i.Cluster = n.identity
	}
	return &process{
		identity: i, named: n, service: i.ServiceName(), namespace: i.ServiceNamespace(), head: i.Encode(),
		batches: make([][]byte, partitions), subjects: make([]string, partitions),
	}
}

func (p *process) subject(partition int) string {
	if p.subjects[partition] == "" {
		p.subjects[partition] = bus.SpanSubject(partition, p.namespace, p.service)
	}
	return p.subjects[partition]
}

const (
	processKeep  = int64(10 * time.Minute)
	processSweep = int64(time.Minute)
	maxProcesses = 20000
)

// registry holds the processes lately heard of.
type registry struct {
	partitions int
	byID       map[uint64]*process
	sweptAt    int64
}

func newRegistry(partitions int) *registry {
	return &registry{partitions: partitions, byID: map[uint64]*process{}}
}

// put takes the encoded facts of a process; it reports whether they are well formed. Facts that are as before keep the
// encoded resource.
func (p *Partition) put(encoded []byte) (ok bool) {
	r, now := p.processes, p.now
	id, ok := processID(encoded)
	if !ok || id == 0 {
		return ok
	}
	known := r.byID[id]
	if known != nil && bytes.Equal(known.encoded, encoded) {
		known.usedAt = now
		if known.named != nil {
			known.named.usedAt = now
		}
		return true
	}
	facts := &millracev1.Process{}
	if facts.UnmarshalVT(encoded) != nil {
		return false
	}
	n := p.names.find(placeOf(facts), now, p.clock+int64(takenUpWithin))
	if known == nil || !same(known.identity.Process, facts) || known.named != n {
		known = newProcess(facts, n, r.partitions)
		if len(r.byID) >= maxProcesses {
			clear(r.byID) // Every batch brings its processes again.
		}
		r.byID[facts.Id] = known
	}
	known.usedAt, known.encoded = now, bytes.Clone(encoded)
	return true
}

func processID(m []byte) (id uint64, ok bool) {
	var f wire.Field
	for len(m) > 0 {
		if m, ok = f.Next(m); !ok {
			return 0, false
		}
		if f.ID == 1 && f.Type == wire.Fixed64 {
			id = f.Number
		}
	}
	return id, true
}

// get gives the process with the id. Batches carry the processes they refer to; should one be missing, its spans have
// an unknown service.
func (r *registry) get(id uint64) *process {
	if p := r.byID[id]; p != nil {
		return p
	}
	return newProcess(&millracev1.Process{Id: id}, nil, r.partitions)
}

func (r *registry) sweep(now int64) {
	if now-r.sweptAt < processSweep {
		return
	}
	r.sweptAt = now
	maps.DeleteFunc(r.byID, func(_ uint64, p *process) bool { return now-p.usedAt >= processKeep })
}

// same reports whether two states of a process have the same resource.
func same(a, b *millracev1.Process) bool {
	return a.OtelServiceName == b.OtelServiceName && a.ProgramName == b.ProgramName && a.RuleServiceName == b.RuleServiceName &&
		a.RuleServiceNamespace == b.RuleServiceNamespace && a.ExecutablePath == b.ExecutablePath && a.Command == b.Command &&
		a.ContainerId == b.ContainerId && a.Language == b.Language && a.RuntimeVersion == b.RuntimeVersion && a.Node == b.Node &&
		a.ContainerName == b.ContainerName && a.ContainerImageName == b.ContainerImageName &&
		a.ContainerImageTag == b.ContainerImageTag && a.PodUid == b.PodUid && a.PodName == b.PodName &&
		a.PodNamespace == b.PodNamespace && sameHost(a.Host, b.Host) && a.Pid == b.Pid && slices.Equal(a.CommandArgs, b.CommandArgs) &&
		maps.Equal(a.OtelResourceAttributes, b.OtelResourceAttributes)
}

// sameHost compares by the encoding, which is the same for equal messages: a host has no maps.
func sameHost(a, b *millracev1.Host) bool {
	one, err := a.MarshalVT()
	other, otherErr := b.MarshalVT()
	return err == nil && otherErr == nil && bytes.Equal(one, other)
}
