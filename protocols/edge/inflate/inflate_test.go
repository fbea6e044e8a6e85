package inflate

import (
	"bytes"
	"compress/zlib"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func pack(tb testing.TB, kind Kind, text []byte) []byte {
	tb.Helper()
	var b bytes.Buffer
	if kind == Zstd {
		w, err := zstd.NewWriter(&b)
		if err != nil {
			tb.Fatal(err)
		}
		_, _ = w.Write(text)
		_ = w.Close()
		return b.Bytes()
	}
	w := zlib.NewWriter(&b)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Bytes()
}

func texts() [][]byte {
	mixed := make([]byte, 100_000)
	for i := range mixed {
		mixed[i] = byte(i * i >> 3)
	}
	return [][]byte{[]byte("x"), bytes.Repeat([]byte("SELECT 1; "), 1000), mixed, make([]byte, 64<<20)}
}

// TestInflate reads texts one after another with one Inflater, whole, as far as a limit, and of a part of them.
func TestInflate(t *testing.T) {
	t.Parallel()
	var f Inflater
	for _, kind := range []Kind{Zlib, Zstd} {
		for i, text := range texts() {
			b := pack(t, kind, text)
			if KindOf(b) != kind {
				t.Fatalf("text %d: %x is not taken for kind %d", i, b[:4], kind)
			}
			for _, limit := range []int{1, 5000, 1 << 20} {
				var got []byte
				n := f.Inflate(kind, b, limit, func(chunk []byte) bool {
					got = append(got, chunk...)
					clear(chunk)
					return true
				})
				if want := text[:min(limit, len(text))]; n != len(want) || !bytes.Equal(got, want) {
					t.Errorf("kind %d, text %d, limit %d: %d bytes", kind, i, limit, n)
				}
			}
			n := f.Inflate(kind, b[:len(b)-len(b)/4], 1<<20, func(chunk []byte) bool { return bytes.HasPrefix(text, chunk) || len(text) > Chunk })
			if n > len(text) {
				t.Errorf("kind %d, text %d: %d bytes of a part", kind, i, n)
			}
			if n = f.Inflate(kind, b, 1<<20, func([]byte) bool { return false }); n > Chunk {
				t.Errorf("kind %d, text %d: goes on behind a chunk that was refused", kind, i)
			}
		}
	}
}

func FuzzInflate(f *testing.F) {
	for _, kind := range []Kind{Zlib, Zstd} {
		f.Add(pack(f, kind, []byte("SELECT 1")))
	}
	var shared Inflater
	f.Fuzz(func(t *testing.T, b []byte) {
		var own Inflater
		var got [2][]byte
		for i, f := range []*Inflater{&shared, &own} {
			n := f.Inflate(KindOf(b), b, 100_000, func(chunk []byte) bool {
				got[i] = append(got[i], chunk...)
				return true
			})
			if n != len(got[i]) || n > 100_000 {
				t.Fatalf("%d bytes, %d were handed out", n, len(got[i]))
			}
		}
		if !bytes.Equal(got[0], got[1]) {
			t.Fatal("what was read before changes what is read")
		}
	})
}

// BenchmarkInflate is the cost of what packets hold.
func BenchmarkInflate(b *testing.B) {
	row := bytes.Repeat([]byte("\x1c\x00\x00\x05\x06123456\x14somebody@example.com"), 500)
	for i := range row {
		if i%7 == 0 {
			row[i] ^= byte(i >> 4)
		}
	}
	for name, kind := range map[string]Kind{"zlib": Zlib, "zstd": Zstd} {
		b.Run(name, func(b *testing.B) {
			var f Inflater
			packed := pack(b, kind, row)
			b.SetBytes(int64(len(row)))
			b.ReportAllocs()
			for b.Loop() {
				f.Inflate(kind, packed, 1<<20, func([]byte) bool { return true })
			}
			b.ReportMetric(float64(len(row))/float64(len(packed)), "ratio")
		})
	}
}
