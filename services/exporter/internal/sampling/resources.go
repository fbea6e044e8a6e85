package sampling

import (
	"strings"

	"millrace.dev/lib/bus"
)

// resource is one that waiting spans have, kept once.
type resource struct {
	// key is the part of the subject that names the service, a zero byte, and the encoded resource.
	key    string
	number uint32
	// spans that wait.
	spans int
	// hits are the conditions that the resource meets.
	hits hits
	// subject of kept spans, and the metric partition of the service.
	subject string
	metric  int
	// page is a batch of kept spans under construction; size of the one published last.
	page []byte
	size int
}

// encoded gives the resource as it came.
func (r *resource) encoded() string { return r.key[strings.IndexByte(r.key, 0)+1:] }

// bytes is the memory that a resource takes.
func (r *resource) bytes() int { return 256 + len(r.key) }

// resources are those of waiting spans, and of spans that are about to be published.
type resources struct {
	byKey    map[string]*resource
	byNumber []*resource
	free     []uint32
	bytes    int
	scratch  []byte
}

// find gives the resource of a record, if it is there.
func (r *resources) find(service string, encoded []byte) *resource {
	r.scratch = append(append(append(r.scratch[:0], service...), 0), encoded...)
	return r.byKey[string(r.scratch)]
}

// put adds a resource under a free number.
func (r *resources) put(added *resource) {
	if n := len(r.free); n > 0 {
		added.number, r.free = r.free[n-1], r.free[:n-1]
		r.byNumber[added.number] = added
	} else {
		added.number = uint32(len(r.byNumber))
		r.byNumber = append(r.byNumber, added)
	}
	r.byKey[added.key] = added
	r.bytes += added.bytes()
}

// release lets go of a resource that nothing refers to.
func (r *resources) release(old *resource) {
	if old.spans > 0 || len(old.page) > 0 || r.byNumber[old.number] != old {
		return
	}
	delete(r.byKey, old.key)
	r.byNumber[old.number] = nil
	r.free = append(r.free, old.number)
	r.bytes -= old.bytes()
}

// newResource reads the part of a subject that names the service: "namespace.service", escaped. It is nil if that is
// malformed.
func (s *Sampler) newResource(service, encoded string) *resource {
	namespaceToken, nameToken, found := strings.Cut(service, ".")
	if !found {
		return nil
	}
	namespace, ok := bus.TokenText(namespaceToken)
	name, also := bus.TokenText(nameToken)
	if !ok || !also {
		return nil
	}
	return &resource{
		key: service + "\x00" + encoded, hits: readResource([]byte(encoded), &s.policies.conditions, s.memory),
		subject: bus.SampledSubject(s.partition, namespace, name), metric: bus.MetricPartition(namespace, name, s.settings.Partitions),
	}
}
