package sampling

import (
	"encoding/binary"
	"slices"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/wire"
)

const (
	// maxBatchBytes is the size at which a batch of spans is published before the call ends.
	maxBatchBytes = 256 << 10
	// maxNoticeBytes is the same for notices.
	maxNoticeBytes = 32 << 10
)

// emitter gathers what one call publishes. Between calls it is empty, so it is not part of the state.
type emitter struct {
	// dirty are the resources with a page.
	dirty []*resource
	// notices under construction, by metric partition, those that have one, and the trace noted last in each.
	notices [][]byte
	telling []int
	noted   [][16]byte
}

func newEmitter(partitions int) emitter {
	return emitter{notices: make([][]byte, partitions), noted: make([][16]byte, partitions)}
}

// span adds a kept span to the page of its resource.
func (e *emitter) span(r *resource, encoded []byte, out stage.Output) {
	if len(r.page) == 0 {
		resource := r.encoded()
		size := max(r.size, len(resource)+2*len(encoded)+32)
		r.page = append(make([]byte, 0, size), 1<<3|wire.Varint, schemaVersion, 2<<3|wire.Length)
		r.page = binary.AppendUvarint(r.page, uint64(len(resource)))
		r.page = append(r.page, resource...)
		e.dirty = append(e.dirty, r)
	}
	r.page = append(r.page, 3<<3|wire.Length)
	r.page = binary.AppendUvarint(r.page, uint64(len(encoded)))
	r.page = append(r.page, encoded...)
	if len(r.page) >= maxBatchBytes {
		e.publish(r, out)
	}
}

// publish hands the page out. Readers drop spans that come twice by their ids, so the message needs none.
func (*emitter) publish(r *resource, out stage.Output) {
	r.size = min(len(r.page)+len(r.page)/8, maxBatchBytes)
	out.Publish(r.subject, "", r.page)
	r.page = nil
}

// notice tells the metric partition of the service that the trace is kept.
func (e *emitter) notice(r *resource, id [16]byte, out stage.Output) {
	b := e.notices[r.metric]
	if len(b) == 0 {
		b = append(b, 1<<3|wire.Varint, schemaVersion)
		e.telling = append(e.telling, r.metric)
	} else if e.noted[r.metric] == id {
		return // The spans of a trace come in a row.
	}
	e.noted[r.metric] = id
	e.notices[r.metric] = append(append(b, 2<<3|wire.Length, byte(len(id))), id[:]...)
	if len(e.notices[r.metric]) >= maxNoticeBytes {
		e.tell(r.metric, out)
	}
}

func (e *emitter) tell(partition int, out stage.Output) {
	// A notice that comes twice does no harm.
	out.Publish(bus.KeptSubject(partition), "", e.notices[partition])
	e.notices[partition] = nil
}

// flush publishes everything.
func (e *emitter) flush(resources *resources, out stage.Output) {
	for i, r := range e.dirty {
		if len(r.page) > 0 {
			e.publish(r, out)
		}
		resources.release(r)
		e.dirty[i] = nil
	}
	e.dirty = e.dirty[:0]
	slices.Sort(e.telling)
	for _, partition := range e.telling {
		if len(e.notices[partition]) > 0 {
			e.tell(partition, out)
		}
	}
	e.telling = e.telling[:0]
}
