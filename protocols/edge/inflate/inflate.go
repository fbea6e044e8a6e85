// Package inflate reads what compressed messages hold, for scanners. It runs in the privileged service: what comes is
// not trusted, memory and time are bounded, and one [Inflater] serves all connections of a room.
package inflate

import (
	"bytes"
	"compress/zlib"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Bounds of memory in bytes.
const (
	// Chunk is the most that is handed out at once.
	Chunk = 4 << 10
	// maxWindow is the largest window of zstd that is read: its levels up to 19 have no larger one.
	maxWindow = 8 << 20
)

// Kind is a format.
type Kind uint8

// Kinds.
const (
	None Kind = iota // none that is read
	Zlib             // RFC 1950
	Zstd             // RFC 8878
)

// KindOf says in which format b is, by how it begins.
func KindOf(b []byte) Kind {
	switch {
	case len(b) >= 4 && b[0] == 0x28 && b[1] == 0xb5 && b[2] == 0x2f && b[3] == 0xfd:
		return Zstd
	case len(b) >= 2 && b[0]&0x8f == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0 && b[1]&0x20 == 0:
		return Zlib
	}
	return None
}

// Inflater inflates. The zero value is ready. It is not safe for concurrent use.
type Inflater struct {
	source bytes.Reader
	zlib   io.ReadCloser
	zstd   *zstd.Decoder
	chunk  [Chunk]byte
}

// Inflate reads what b, or the beginning of it that is there, holds: at most limit bytes, which it hands to take in
// chunks of up to [Chunk] bytes. take may overwrite its chunk, keeps no reference to it, and ends the reading with
// false. It gives how many bytes were handed out. Bytes that are not of the format end the reading; a checksum at the
// end of b is not looked at.
func (f *Inflater) Inflate(kind Kind, b []byte, limit int, take func(chunk []byte) bool) (n int) {
	r := f.open(kind, b)
	if r == nil {
		return 0
	}
	for n < limit {
		got, err := io.ReadFull(r, f.chunk[:min(Chunk, limit-n)])
		if n += got; got > 0 && !take(f.chunk[:got]) || err != nil {
			break
		}
	}
	f.source.Reset(nil)
	return n
}

func (f *Inflater) open(kind Kind, b []byte) io.Reader {
	f.source.Reset(b)
	switch kind {
	case Zlib:
		return f.openZlib()
	case Zstd:
		if f.zstd == nil {
			d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil
			}
			f.zstd = d
		}
		if f.zstd.Reset(&f.source) == nil {
			return f.zstd
		}
	default:
	}
	return nil
}

func (f *Inflater) openZlib() io.Reader {
	if f.zlib == nil {
		r, err := zlib.NewReader(&f.source)
		if err != nil {
			return nil
		}
		f.zlib = r
		return r
	}
	if r, ok := f.zlib.(zlib.Resetter); !ok || r.Reset(&f.source, nil) != nil {
		return nil
	}
	return f.zlib
}
