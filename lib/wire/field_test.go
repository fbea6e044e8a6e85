package wire

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzNext checks that fields are read as protobuf's own reader reads them.
func FuzzNext(f *testing.F) {
	m := protowire.AppendTag(nil, 1, protowire.VarintType)
	m = protowire.AppendVarint(m, 300)
	m = protowire.AppendTag(m, 300, protowire.BytesType)
	m = protowire.AppendString(m, "text")
	m = protowire.AppendTag(m, 3, protowire.Fixed64Type)
	m = protowire.AppendFixed64(m, 1<<63)
	m = protowire.AppendTag(m, 4, protowire.Fixed32Type)
	m = protowire.AppendFixed32(m, 1<<31)
	f.Add(m)
	f.Add([]byte{0})
	f.Add([]byte{10, 5, 1})
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
			if ok != (size >= 0) {
				t.Fatalf("%x: %v, and protowire says %d", m, ok, size)
			}
			if !ok {
				return
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
