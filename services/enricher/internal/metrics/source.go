package metrics

import (
	"strings"

	"millrace.dev/lib/bus"
	"millrace.dev/services/enricher/internal/resource"
	"millrace.dev/services/enricher/internal/spans"
)

// level of detail of a resource.
type level uint8

const (
	levelService level = iota
	// levelPod is the service as one pod is it. Of a process that is in no pod it is the service.
	levelPod
	levelHost
	levelProcess
	levels
)

// levelOf is the finest level that a feature asks for, and at least the given one: each exchange is counted once, so
// that sums over resources never double.
func levelOf(features []string, least level) level {
	found := least
	for _, feature := range features {
		switch feature {
		case "application_host":
			found = max(found, levelHost)
		case "application_process":
			found = levelProcess
		}
	}
	return found
}

// origin is the resource of series.
type origin struct {
	// id tells origins from each other while they are in memory.
	id uint32
	// encoded is a Resource message.
	encoded string
	// service is the number of the service that the resource belongs to.
	service uint32
	// partition of metrics.
	partition int
}

// source is a process as metrics see it.
type source struct {
	policy          *policy
	name, namespace string
	host            string
	origins         [levels]*origin
}

// maxSources bounds what is remembered of processes; it is derived anew when it is needed again.
const maxSources = 4096

// source gives what is known of a process, whose identity keeps its address.
func (a *Aggregator) source(i *resource.Identity) *source {
	if s := a.sources[i]; s != nil {
		return s
	}
	if len(a.sources) >= maxSources {
		clear(a.sources)
	}
	s := &source{
		policy: a.settings.policyOf(i.Process.GetRuleServiceName(), i.Process.GetRuleServiceNamespace()),
		name:   i.ServiceName(), namespace: i.ServiceNamespace(), host: i.Process.GetNode(),
	}
	for l := range levels {
		s.origins[l] = a.origin(string(describe(i, l)), s.namespace, s.name)
	}
	a.sources[i] = s
	return s
}

// describe encodes the resource of a process at a level of detail. What differs between the processes of a service is
// left out, or each of them would begin series of its own; between pods it is not.
func describe(i *resource.Identity, l level) []byte {
	r := spans.NewResourceEncoder()
	r.Text("service.name", i.ServiceName())
	r.Text("service.namespace", i.ServiceNamespace())
	p := i.Process
	if l >= levelHost {
		r.Text("host.name", p.GetNode())
	}
	inPod := l >= levelPod && i.Cluster != nil
	if l >= levelProcess || inPod {
		r.Text("service.instance.id", i.InstanceID())
	}
	if l >= levelProcess && p.GetPid() != 0 {
		r.Number("process.pid", int64(p.GetPid()))
	}
	r.Text("telemetry.sdk.name", "millrace")
	i.EncodeSurroundings(r, l >= levelHost, inPod)
	return r.Bytes()
}

// origin gives the resource with these bytes.
func (a *Aggregator) origin(encoded, namespace, name string) *origin {
	if o := a.origins[encoded]; o != nil {
		return o
	}
	service := namespace + "\x00" + name
	number, found := a.services[service]
	if !found {
		a.numbered++
		number = a.numbered
		a.services[service] = number
	}
	a.numbered++
	o := &origin{
		id: a.numbered, encoded: encoded, service: number,
		partition: bus.MetricPartition(namespace, name, a.settings.partitions),
	}
	a.origins[encoded] = o
	return o
}

// restoredOrigin gives the resource of a snapshot; nil if its service has no name.
func (a *Aggregator) restoredOrigin(encoded, service string) *origin {
	namespace, name, found := strings.Cut(service, "\x00")
	if !found {
		return nil
	}
	return a.origin(encoded, namespace, name)
}
