package wire

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// seeds are messages with fields of every type, groups, and numbers at and beyond the limits.
func seeds() [][]byte {
	m := protowire.AppendTag(nil, 1, protowire.VarintType)
	m = protowire.AppendVarint(m, 300)
	m = protowire.AppendTag(m, 300, protowire.BytesType)
	m = protowire.AppendString(m, "text")
	m = protowire.AppendTag(m, 3, protowire.Fixed64Type)
	m = protowire.AppendFixed64(m, 1<<63)
	m = protowire.AppendTag(m, 4, protowire.Fixed32Type)
	m = protowire.AppendFixed32(m, 1<<31)
	group := protowire.AppendTag(nil, 900, protowire.StartGroupType)
	group = append(append(group, m...), 5<<3|3, 5<<3|4)
	group = protowire.AppendTag(group, 900, protowire.EndGroupType)
	all := [][]byte{m, {0}, {10, 5, 1}, append(group, m...), {9<<3 | 3}, {9<<3 | 4}}
	for _, number := range []uint64{1<<29 - 1, 1 << 29, 1<<29 + 1, 1<<31 - 1, 1 << 31, 1<<32 - 1} {
		all = append(all, append(protowire.AppendVarint(nil, number<<3), 5), append(protowire.AppendVarint(nil, number<<3|2), 2, 'a', 'b'))
	}
	long := append(bytes.Repeat([]byte{0xff}, 9), 0x7f) // Ten bytes, more than 64 bits.
	return append(all, append([]byte{8}, long...), append(slices.Clone(long[:9]), 1, 8, 1))
}

// accepts reports whether all of the message is read.
func accepts(m []byte) bool {
	var f Field
	for len(m) > 0 {
		rest, ok := f.Next(m)
		if !ok {
			return false
		}
		m = rest
	}
	return true
}

// differ says how Next and the generated code differ on a message. What none of the fields of a message are known of
// is passed over there; a known field of a wrong type is refused there alone.
func differ(t *testing.T, m []byte) {
	t.Helper()
	generated := (&millracev1.Loss{}).UnmarshalVT(m) == nil
	if generated && !accepts(m) {
		t.Errorf("%x is refused", m)
	}
}

func TestAcceptsWhatGeneratedCodeDoes(t *testing.T) {
	t.Parallel()
	for _, m := range seeds() {
		differ(t, m)
		for i := range m {
			differ(t, m[:i])
		}
	}
	var f Field
	if _, ok := f.Next(append(protowire.AppendVarint(nil, (1<<29+1)<<3), 5)); !ok || f.ID != 0 {
		t.Errorf("a number that shares its low bits with field 1 is %d", f.ID)
	}
	for _, m := range [][]byte{{9<<3 | 4}, {9<<3 | 3}, {9<<3 | 3, 8}, {0, 0}, {9<<3 | 6}} {
		if accepts(m) {
			t.Errorf("%x is accepted", m)
		}
	}
}

func FuzzAccepts(f *testing.F) {
	for _, m := range seeds() {
		f.Add(m)
	}
	f.Fuzz(differ)
}

// FuzzNext checks that fields are read as protobuf's own reader reads them, where that does read them.
func FuzzNext(f *testing.F) {
	for _, m := range seeds() {
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, m []byte) {
		for len(m) > 0 {
			var got Field
			rest, ok := got.Next(m)
			number, kind, n := protowire.ConsumeTag(m)
			if kind == protowire.StartGroupType || kind == protowire.EndGroupType {
				return
			}
			size := -1
			if n > 0 && number <= protowire.MaxValidNumber { // ConsumeTag lets larger ones pass
				size = protowire.ConsumeFieldValue(number, kind, m[n:])
			}
			if size < 0 {
				return
			}
			if !ok {
				t.Fatalf("%x is refused, and protowire says %d", m, size)
			}
			value := m[n:]
			var number64 uint64
			var text []byte
			switch kind {
			case protowire.VarintType:
				number64, _ = protowire.ConsumeVarint(value)
			case protowire.Fixed64Type:
				number64, _ = protowire.ConsumeFixed64(value)
			case protowire.Fixed32Type:
				v, _ := protowire.ConsumeFixed32(value)
				number64 = uint64(v)
			case protowire.BytesType:
				text, _ = protowire.ConsumeBytes(value)
			}
			if got.ID != uint32(number) || got.Type != uint8(kind) || got.Number != number64 || !bytes.Equal(got.Bytes, text) ||
				len(rest) != len(value)-size {
				t.Fatalf("%x: %+v", m, got)
			}
			m = rest
		}
	})
}
