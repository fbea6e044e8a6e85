package kernel

import (
	"bytes"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"millrace.dev/bpf/objects"
)

// The Go structs mirror those of the object.
func TestLayouts(t *testing.T) {
	t.Parallel()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(objects.Capture))
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]uintptr{
		"record":            unsafe.Sizeof(rawRecord{}),
		"connection_facts":  unsafe.Sizeof(rawFacts{}),
		"connection_record": unsafe.Sizeof(rawConnectionRecord{}),
		"connection":        unsafe.Sizeof(rawConnection{}),
		"policy":            unsafe.Sizeof(rawPolicy{}),
		"verdict":           unsafe.Sizeof(rawVerdict{}),
		"segment":           unsafe.Sizeof(Segment{}),
		"loss":              unsafe.Sizeof(rawLoss{}),
		"match":             unsafe.Sizeof(rawMatch{}),
		"frames":            unsafe.Sizeof(rawFrames{}),
	} {
		var s *btf.Struct
		if err := spec.Types.TypeByName(name, &s); err != nil {
			// Those that no map and no program's type names are left out of the object.
			if name != "verdict" && name != "connection_record" && name != "record" {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if uintptr(s.Size) != size {
			t.Errorf("struct %s has %d bytes, its mirror %d", name, s.Size, size)
		}
	}
}

// Whatever the ring buffer holds, decoding neither fails nor gives payload that does not fit its event.
func FuzzDecode(f *testing.F) {
	sample := make([]byte, recordSize+maxSegments*segmentSize+64)
	r := recordAt[rawRecord](sample)
	r.Kind, r.Socket, r.Segments, r.Length, r.Payload = uint8(Send), 7, 1, 64, 64
	f.Add(bytes.Clone(sample))
	r.Segments = 0
	f.Add(bytes.Clone(sample))
	r.Kind = uint8(Open)
	f.Add(append(bytes.Clone(sample), make([]byte, connectionRecordSize)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		k := &Kernel{table: newTable()}
		k.table.put(tableKey{Sock: 1}, &Connection{Socket: 7})
		aligned := append(make([]byte, 0, len(data)+8), data...)
		var e Event
		if !k.decode(aligned, &e) {
			return
		}
		if uint64(len(e.Payload)) > uint64(e.Length) {
			t.Errorf("%d bytes of payload for %d", len(e.Payload), e.Length)
		}
		var n uint64
		for _, s := range e.Segments {
			n += uint64(s.Length)
		}
		if e.Segments != nil && n != uint64(len(e.Payload)) {
			t.Errorf("segments %v of %d bytes", e.Segments, len(e.Payload))
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	sample := make([]byte, recordSize+176)
	r := recordAt[rawRecord](sample)
	r.Kind, r.Socket, r.Length, r.Payload = uint8(Send), 7, 176, 176
	k := &Kernel{table: newTable()}
	k.table.put(tableKey{Sock: 1}, &Connection{Socket: 7})
	var e Event
	b.ReportAllocs()
	for b.Loop() {
		if !k.decode(sample, &e) {
			b.Fatal("refused")
		}
	}
}
