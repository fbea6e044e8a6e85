package conversations

import (
	"bytes"
	"compress/zlib"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Compressors of OP_COMPRESSED.
const (
	Noop = iota
	Snappy
	Zlib
	Zstd
)

// Pack makes an OP_COMPRESSED that holds a message.
func Pack(compressor int, packet string) string {
	number := func(at int) int {
		return int(uint32(packet[at]) | uint32(packet[at+1])<<8 | uint32(packet[at+2])<<16 | uint32(packet[at+3])<<24)
	}
	body := packet[16:]
	head := Number(number(12)) + Number(len(body)) + string([]byte{byte(compressor)})
	return Packet(number(4), number(8), 2012, head+pack(compressor, body))
}

func pack(compressor int, body string) string {
	var b bytes.Buffer
	switch compressor {
	case Snappy:
		return string(s2.EncodeSnappy(nil, []byte(body)))
	case Zlib:
		w := zlib.NewWriter(&b)
		_, _ = w.Write([]byte(body))
		_ = w.Close()
	case Zstd:
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err)
		}
		_, _ = w.Write([]byte(body))
		_ = w.Close()
	default:
		return body
	}
	return b.String()
}
