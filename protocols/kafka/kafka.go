package kafka

import (
	"encoding/binary"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/kafka/message"
)

// copied is how much of each message the kernel side copies, in bytes.
const copied = 4096

// longFetch is the longest Fetch, in bytes, that is taken for one where bytes before it were not seen. The middle of a
// Bind of PostgreSQL may look like a Fetch of 2 MiB.
const longFetch = 256 << 10

// Protocol is Kafka.
var Protocol = protocols.Protocol{
	Number:  millracev1.Protocol_PROTOCOL_KAFKA,
	Name:    "kafka",
	Decoded: true,
	Order:   protocols.ByID,
	Matches: []protocols.Match{
		moving(),
		opening().AtOpening(),
	},
	Frames: &protocols.Frames{
		Header: protocols.FrameHeader{Size: 8, LengthSize: 4, Add: 4, Most: message.MaxSize},
		Client: protocols.Copy{Bytes: copied}, Server: protocols.Copy{Bytes: copied},
	},
	Recognise: recognise,
}

// opening makes a match of requests up to 16 MiB with keys to 127 and versions to 31, from clients with a name of less
// than 256 bytes, or with none.
func opening() protocols.Match {
	m := protocols.Match{Least: 14}
	copy(m.Mask[:], []byte{0xff, 0, 0, 0, 0xff, 0x80, 0xff, 0xe0, 0x80})
	return m.By(protocols.Client)
}

// moving makes a match of Produce and Fetch requests, of which the client has a name.
func moving() protocols.Match {
	m := opening()
	m.Mask[5], m.Mask[12] = 0xfe, 0xff
	return m
}

// recognise judges the header of a request. Behind bytes that were not seen, only those of the APIs that move records
// count.
func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	if from == protocols.Server {
		return protocols.No
	}
	mask := opening()
	for i := range min(len(b), mask.Least) {
		if b[i]&mask.Mask[i] != mask.Value[i] {
			return protocols.No
		}
	}
	if len(b) < 14 {
		return protocols.More
	}
	h := message.ReadRequest(b)
	n := int(int16(binary.BigEndian.Uint16(b[12:])))
	moves := h.API == message.Produce || h.API == message.Fetch
	switch {
	case !h.Valid(true) || n < -1 || n > message.MaxName || int64(h.Size) < 14+int64(n):
		return protocols.No
	case how != protocols.Opening && (!moves || n < 1) && (how != protocols.Boundary || from != protocols.Client):
		return protocols.No
	case how == protocols.Anywhere && h.API == message.Fetch && h.Size > longFetch:
		return protocols.No // a request with so many partitions is rarer than bytes that only look like one
	case n < 1 && h.API != message.ApiVersions && h.API != message.Metadata && h.API != message.SaslHandshake && !moves:
		return protocols.No
	}
	n = max(n, 0)
	for _, c := range b[14:min(len(b), 14+n)] {
		if c < ' ' || c == 0x7f {
			return protocols.No
		}
	}
	if len(b) < 14+n {
		return protocols.More
	}
	if n > 0 && !moves {
		return protocols.Sure
	}
	return body(&h, b[14+n:], int(h.Size)-14-n)
}

// body judges how the body begins of a request whose client has no name, or which moves records; size is its length.
func body(h *message.Header, b []byte, size int) protocols.Guess {
	switch h.API {
	case message.ApiVersions:
		if h.Version < 3 {
			return sure(size == 0)
		}
		return flexible(b, size, 4)
	case message.Metadata:
		if h.Version >= 9 {
			return flexible(b, size, 4)
		}
		return number(b, size, 4, -1, 1<<16)
	case message.SaslHandshake:
		return number(b, size, 2, 3, 32)
	case message.Fetch:
		switch {
		case h.Version >= 12:
			return flexible(b, size, 12)
		case size < 20:
			return protocols.No
		}
		return number(b, size, 4, -1, 1<<20)
	}
	switch {
	case h.Version >= 9:
		return flexible(b, size, 8)
	case h.Version >= 3:
		return number(b, size, 2, -1, message.MaxName)
	case size < 10:
		return protocols.No
	}
	return number(b, size, 2, -1, 1) // acks
}

// flexible judges a body behind the tagged fields of a header, of which no client sends any.
func flexible(b []byte, size, least int) protocols.Guess {
	switch {
	case size < least || len(b) > 0 && b[0] != 0:
		return protocols.No
	case len(b) == 0:
		return protocols.More
	}
	return protocols.Sure
}

// number judges a number of n bytes.
func number(b []byte, size, n, low, high int) protocols.Guess {
	switch {
	case size < n:
		return protocols.No
	case len(b) < n:
		return protocols.More
	case n == 2:
		v := int(int16(binary.BigEndian.Uint16(b)))
		return sure(v >= low && v <= high)
	}
	v := int(int32(binary.BigEndian.Uint32(b)))
	return sure(v >= low && v <= high)
}

func sure(ok bool) protocols.Guess {
	if ok {
		return protocols.Sure
	}
	return protocols.No
}
