package sampling

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"millrace.dev/lib/stage"
)

const snapshotVersion = 1

var errSnapshot = errors.New("damaged sampler snapshot")

// Snapshot implements [stage.Processor]: version, time of the newest record, resources of waiting spans, waiting traces
// in order, buckets by name, remembered decisions. Facts are not in it: they are read from the spans again, by the
// policies that then apply.
func (s *Sampler) Snapshot(dst []byte) ([]byte, error) {
	b := binary.AppendVarint(append(dst, snapshotVersion), s.recorded)
	b = binary.AppendUvarint(b, uint64(len(s.resources.byKey)))
	for number, r := range s.resources.byNumber {
		if r != nil {
			b = binary.AppendUvarint(b, uint64(number))
			b = appendBytes(b, r.key)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(s.waiting.byID)))
	for t := s.waiting.first; t != nil; t = t.next {
		b = append(b, t.id[:]...)
		b = binary.AppendVarint(b, s.recorded-t.first)
		b = appendBytes(b, t.data)
	}
	b = binary.AppendUvarint(b, uint64(len(s.buckets)))
	for i, bucket := range s.buckets {
		b = appendBytes(b, s.policies.buckets[i])
		b = binary.AppendVarint(b, int64(bucket))
	}
	for _, decisions := range []*stage.Dedup[[16]byte]{s.kept, s.dropped} {
		if decisions == nil {
			decisions = stage.NewDedup[[16]byte](0)
		}
		b = decisions.Snapshot(b)
	}
	return b, nil
}

func appendBytes[T ~string | ~[]byte](dst []byte, v T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(v))), v...)
}

// Restore implements [stage.Processor].
func (s *Sampler) Restore(snapshot []byte) error {
	if len(snapshot) == 0 || snapshot[0] != snapshotVersion {
		return fmt.Errorf("sampler snapshot of an unknown version (expected %d)", snapshotVersion)
	}
	s.clear()
	r := reader{b: snapshot[1:]}
	s.recorded = r.varint()
	s.told = s.recorded
	if err := s.restore(&r); err != nil {
		s.clear()
		return err
	}
	s.show()
	return nil
}

func (s *Sampler) restore(r *reader) error {
	s.restoreResources(r)
	for range r.count() {
		if !s.restoreTrace(r) {
			return errSnapshot
		}
	}
	for _, resource := range s.resources.byNumber {
		if resource != nil {
			s.resources.release(resource) // One that no span has.
		}
	}
	known := map[string]bucket{}
	for range r.count() {
		name := string(r.bytes())
		known[name] = bucket(r.varint())
	}
	for i, name := range s.policies.buckets {
		s.buckets[i] = known[name] // A new one is full.
	}
	if r.bad {
		return errSnapshot
	}
	for _, decisions := range []*stage.Dedup[[16]byte]{s.kept, s.dropped} {
		if decisions == nil {
			decisions = stage.NewDedup[[16]byte](0)
		}
		rest, err := decisions.Restore(r.b)
		if err != nil {
			return fmt.Errorf("%w: %w", errSnapshot, err)
		}
		r.b = rest
	}
	if len(r.b) > 0 {
		return errSnapshot
	}
	return nil
}

// maxResources bounds what a damaged snapshot can claim. Free numbers are used first, so none is above the number of
// resources that the greatest sampling.max_bytes holds.
const maxResources = 1 << 21

func (s *Sampler) restoreResources(r *reader) {
	for range r.count() {
		number, key := r.uvarint(), string(r.bytes())
		service, encoded, found := strings.Cut(key, "\x00")
		var resource *resource
		if found {
			resource = s.newResource(service, encoded)
		}
		if resource == nil || number >= maxResources || s.resources.byKey[key] != nil {
			r.bad = true
			return
		}
		for uint64(len(s.resources.byNumber)) <= number {
			s.resources.byNumber = append(s.resources.byNumber, nil)
		}
		if s.resources.byNumber[number] != nil {
			r.bad = true
			return
		}
		resource.number = uint32(number)
		s.resources.byNumber[number] = resource
		s.resources.byKey[key] = resource
		s.resources.bytes += resource.bytes()
	}
	for number, resource := range s.resources.byNumber {
		if resource == nil {
			s.resources.free = append(s.resources.free, uint32(number))
		}
	}
}

// restoreTrace reads the spans of a trace as if they came again.
func (s *Sampler) restoreTrace(r *reader) bool {
	var id [16]byte
	copy(id[:], r.take(len(id)))
	t := &trace{id: id, first: s.recorded - r.varint()}
	data := r.bytes()
	if r.bad || len(data) == 0 || s.waiting.byID[id] != nil || s.waiting.last != nil && t.first < s.waiting.last.first {
		return false
	}
	t.data = make([]byte, 0, len(data))
	for len(data) > 0 {
		number, encoded, rest, ok := nextSpan(data)
		if !ok || uint64(number) >= uint64(len(s.resources.byNumber)) || s.resources.byNumber[number] == nil {
			return false
		}
		resource := s.resources.byNumber[number]
		if !s.span.read(encoded, &s.policies.conditions, s.memory) || s.span.trace != id || !t.put(&s.span, number, encoded) {
			return false
		}
		t.hits.join(&resource.hits)
		resource.spans++
		data = rest
	}
	s.waiting.add(t)
	return true
}

// reader takes a snapshot apart. After a mistake everything is zero and bad is set.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count is a number of things. Each takes at least one byte.
func (r *reader) count() uint64 {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0
	}
	return n
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte { return r.take(int(min(r.uvarint(), 1<<62))) }
