package bus

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"

	"millrace.dev/lib/config"
)

func TestCompression(t *testing.T) {
	t.Parallel()
	random := make([]byte, 10000)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	text := []byte(strings.Repeat("GET /users/17 HTTP/1.1\r\n", 1000))
	for _, tt := range []struct {
		name, compression string
		data              []byte
		encoding          string
	}{
		{"text", config.CompressionS2, text, EncodingS2},
		{"text, none", config.CompressionNone, text, ""},
		{"small", config.CompressionS2, text[:100], ""},
		{"empty", config.CompressionS2, nil, ""},
		{"random", config.CompressionS2, random, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, dst := range [][]byte{nil, make([]byte, 3), make([]byte, 0, 1<<20)} {
				out, encoding := Compress(tt.compression, dst, tt.data)
				if encoding != tt.encoding {
					t.Fatalf("encoding %q, want %q", encoding, tt.encoding)
				}
				back, err := Decompress(encoding, make([]byte, 0, cap(dst)), out, len(tt.data))
				if err != nil || !bytes.Equal(back, tt.data) {
					t.Fatalf("not the same after decompression: %v", err)
				}
				if _, err := Decompress(encoding, nil, out, len(tt.data)-1); !errors.Is(err, ErrTooLarge) {
					t.Errorf("beyond the limit: %v", err)
				}
			}
		})
	}
}

func TestDecompressErrors(t *testing.T) {
	t.Parallel()
	bomb := s2.Encode(nil, make([]byte, 64<<20))
	for _, tt := range []struct {
		encoding string
		data     []byte
		want     error
	}{
		{"gzip", []byte("x"), ErrUnknownEncoding},
		{strings.Repeat("x", 1000), nil, ErrUnknownEncoding},
		{EncodingS2, nil, ErrDamaged},
		{EncodingS2, []byte{0xff, 0xff, 0xff}, ErrDamaged},
		{EncodingS2, bomb[:len(bomb)/2], ErrDamaged},
		{EncodingS2, bomb, ErrTooLarge},
	} {
		limit := 1 << 20
		if errors.Is(tt.want, ErrDamaged) {
			limit = 128 << 20
		}
		if _, err := Decompress(tt.encoding, nil, tt.data, limit); !errors.Is(err, tt.want) || len(err.Error()) > 200 {
			t.Errorf("%q: error %v, want %v", tt.encoding, err, tt.want)
		}
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add(EncodingS2, s2.Encode(nil, []byte(strings.Repeat("abc", 100))))
	f.Add("", []byte("x"))
	f.Fuzz(func(t *testing.T, encoding string, data []byte) {
		const limit = 1 << 16
		out, err := Decompress(encoding, nil, data, limit)
		if err == nil && len(out) > limit {
			t.Fatalf("%d bytes, limit %d", len(out), limit)
		}
	})
}
