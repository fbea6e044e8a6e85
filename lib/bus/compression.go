package bus

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"

	"millrace.dev/lib/config"
)

// EncodingS2 is the value of [HeaderEncoding] for one block of S2.
const EncodingS2 = "s2"

// EncodingIdentity is the same as no encoding at all. Millrace leaves the header away instead.
const EncodingIdentity = "identity"

// minCompress is the size below which compression costs more (header, time) than it saves.
const minCompress = 128

var (
	// ErrUnknownEncoding is returned by [Decompress] for an encoding that this version does not know.
	ErrUnknownEncoding = errors.New("unknown message encoding")
	// ErrTooLarge is returned by [Decompress] for a message beyond the limit and by [Conn.Publish] for one that the
	// server or bus.max_pending can never take.
	ErrTooLarge = errors.New("message too large")
	// ErrDamaged is returned by [Decompress] for bytes that are not what their encoding says.
	ErrDamaged = errors.New("damaged message")
)

// Compress compresses data as bus.compression says and gives the value for [HeaderEncoding]: empty when the data stays
// as it is, because compression is off, or would not make it smaller. out is then data itself; otherwise it uses the
// capacity of dst, or new memory when that is too small. dst and data must not overlap.
func Compress(compression string, dst, data []byte) (out []byte, encoding string) {
	if compression != config.CompressionS2 || len(data) < minCompress || s2.MaxEncodedLen(len(data)) < 0 {
		return data, ""
	}
	out = s2.Encode(dst[:cap(dst)], data)
	if len(out) >= len(data) {
		return data, ""
	}
	return out, EncodingS2
}

// Decompress undoes [Compress] for a message with the given value of [HeaderEncoding]. Messages whose decompressed size
// is more than limit bytes are refused before any memory is spent. out is data itself when there is no encoding;
// otherwise it uses the capacity of dst, or new memory when that is too small. Errors match [ErrUnknownEncoding],
// [ErrTooLarge] or [ErrDamaged].
func Decompress(encoding string, dst, data []byte, limit int) ([]byte, error) {
	switch encoding {
	case "", EncodingIdentity:
		if len(data) > limit {
			return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrTooLarge, len(data), limit)
		}
		return data, nil
	case EncodingS2:
		n, err := s2.DecodedLen(data)
		if err != nil {
			return nil, fmt.Errorf("%w: s2: %w", ErrDamaged, err)
		}
		if n > limit {
			return nil, fmt.Errorf("%w: %d bytes decompressed, limit %d", ErrTooLarge, n, limit)
		}
		out, err := s2.Decode(dst[:cap(dst)], data)
		if err != nil {
			return nil, fmt.Errorf("%w: s2: %w", ErrDamaged, err)
		}
		return out, nil
	default:
		return nil, fmt.Errorf("%w %.40q: a newer version of Millrace may have written it", ErrUnknownEncoding, encoding)
	}
}
