package metrics

import (
	"strings"

	"millrace.dev/lib/bus"
	"millrace.dev/services/enricher/internal/resource"
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// level of detail of a resource.
type level uint8

const (
	levelService level = iota
	levelHost
	levelProcess
	levels
)

// levelOf is the finest level that a feature asks for: each exchange is counted once, so that sums over resources never
// double.
func levelOf(features []string) level {
	found := levelService
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
	// encoded is a [millracev1.Resource].
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

// source gives what is known of a process, whose facts keep their address.
func (a *Aggregator) source(p *millracev1.Process) *source {
	if s := a.sources[p]; s != nil {
		return s
	}
	if len(a.sources) >= maxSources {
		clear(a.sources)
	}
	s := &source{
		policy: a.settings.policyOf(p.GetRuleServiceName(), p.GetRuleServiceNamespace()),
		name:   resource.ServiceName(p), namespace: resource.ServiceNamespace(p), host: p.GetNode(),
	}
	for l := range levels {
		s.origins[l] = a.origin(string(describe(p, l)), s.namespace, s.name)
	}
	a.sources[p] = s
	return s
}

// describe encodes the resource of a process at a level of detail. What differs between the processes of a service is
// left out, or each of them would begin series of its own.
func describe(p *millracev1.Process, l level) []byte {
	r := spans.NewResourceEncoder()
	r.Text("service.name", resource.ServiceName(p))
	r.Text("service.namespace", resource.ServiceNamespace(p))
	if l >= levelHost {
		r.Text("host.name", p.GetNode())
	}
	if l >= levelProcess {
		r.Text("service.instance.id", resource.InstanceID(p))
		if p.GetPid() != 0 {
			r.Number("process.pid", int64(p.GetPid()))
		}
	}
	r.Text("telemetry.sdk.name", "millrace")
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
