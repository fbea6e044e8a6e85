package message

import "encoding/binary"

// API keys of which the body is read.
const (
	Produce       = 0
	Fetch         = 1
	Metadata      = 3
	SaslHandshake = 17
	ApiVersions   = 18 //nolint:revive // Kafka's name
	ShareFetch    = 78
)

// MaxSize is the longest message in bytes, its length included.
const MaxSize = 1 << 30

// RequestHeader and ResponseHeader are how many bytes the fixed part of a header has.
const (
	RequestHeader  = 12
	ResponseHeader = 8
)

// Header is that of a request. Of a response, API and Version are those of its request.
type Header struct {
	// Size of the message in bytes, its length included.
	Size         uint32
	API, Version int16
	Correlation  uint32
}

// ReadRequest reads the first RequestHeader bytes of b.
func ReadRequest(b []byte) Header {
	return Header{
		Size: size(b), API: int16(binary.BigEndian.Uint16(b[4:])), Version: int16(binary.BigEndian.Uint16(b[6:])),
		Correlation: binary.BigEndian.Uint32(b[8:]),
	}
}

// ReadResponse reads the first ResponseHeader bytes of b.
func ReadResponse(b []byte) Header {
	return Header{Size: size(b), Correlation: binary.BigEndian.Uint32(b[4:]), API: -1}
}

func size(b []byte) uint32 {
	n := binary.BigEndian.Uint32(b)
	return min(n, 1<<31) + 4
}

// Valid reports whether a message can have such a header.
func (h *Header) Valid(request bool) bool {
	if !request {
		return h.Size >= ResponseHeader && h.Size <= MaxSize && h.Correlation < 1<<31
	}
	return h.Size >= RequestHeader && h.Size <= MaxSize && KnownVersion(h.API, h.Version) && h.Correlation < 1<<31
}

// plausible reports whether a header can begin with b.
func plausible(b []byte, request bool) bool {
	limits := [RequestHeader]byte{MaxSize >> 24, 0xff, 0xff, 0xff, 0, byte(len(versions) + newer), 0, 31, 0x7f, 0xff, 0xff, 0xff}
	if !request {
		limits = [RequestHeader]byte{MaxSize >> 24, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}
	}
	for i, c := range b {
		if c > limits[i] {
			return false
		}
	}
	return true
}

// Raw reports whether what follows the request, and its response, is no Kafka: the tokens of SASL without headers.
func (h *Header) Raw() bool { return h.API == SaslHandshake && h.Version == 0 }

// versions are the newest versions of Kafka 4.1 by API key.
var versions = [...]int16{
	13, 18, 11, 13, 7, 4, 8, 3, 10, 10, 6, 9, 4, 5, 5, 6, 5, 1, 5, 7, 6, 2, 6, 4, 5, 4, 5, 2, 6, 3, 3, 3, 4, 2, 2, 5, 2, 3, 3, 2,
	2, 3, 3, 2, 1, 1, 0, 0, 1, 1, 0, 0, 2, 1, 1, 2, 3, 2, 0, 1, 2, 0, 4, 2, 0, 0, 2, 0, 1, 1, 0, 0, 0, 0, 1, 0, 1, 1, 2, 2, 1, 0,
	0, 0, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0,
}

// newer is by how much a version may be newer than those that are known.
const newer = 4

// KnownVersion reports whether an API may have the version, today or soon.
func KnownVersion(api, version int16) bool {
	return api >= 0 && int(api) < len(versions)+newer && version >= 0 && (int(api) >= len(versions) || version <= versions[api]+newer)
}
