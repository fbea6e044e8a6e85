package http2

import "encoding/binary"

// Preface is what a client says first, RFC 9113 section 3.4.
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// HeaderSize is the length of the header of a frame, RFC 9113 section 4.1.
const HeaderSize = 9

// Type is the type of a frame.
type Type uint8

// Types of frames: RFC 9113 section 6, and those of RFC 7838 (ALTSVC), RFC 8336 (ORIGIN) and RFC 9218.
const (
	Data Type = iota
	Headers
	Priority
	ResetStream
	Settings
	PushPromise
	Ping
	GoAway
	WindowUpdate
	Continuation
	AltSvc
	_
	Origin
	PriorityUpdate Type = 16
)

// Flags of frames.
const (
	FlagEndStream  = 0x1
	FlagAck        = 0x1
	FlagEndHeaders = 0x4
	FlagPadded     = 0x8
	FlagPriority   = 0x20
)

// Header is the header of a frame.
type Header struct {
	// Length of what follows the header, in bytes.
	Length uint32
	Type   Type
	Flags  uint8
	// Stream is 0 for frames of the connection.
	Stream uint32
}

// ReadHeader reads the header of a frame; b holds at least [HeaderSize] bytes.
func ReadHeader(b []byte) Header {
	return Header{
		Length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		Type:   Type(b[3]),
		Flags:  b[4],
		Stream: binary.BigEndian.Uint32(b[5:]) & (1<<31 - 1),
	}
}

// Has reports whether a flag is set.
func (h *Header) Has(flag uint8) bool { return h.Flags&flag != 0 }

// rule says what RFC 9113 demands of frames of a type.
type rule struct {
	flags       uint8  // those that are defined
	least, most uint32 // length
	stream      uint8  // onStream, onConnection or onEither
}

const (
	onStream = iota
	onConnection
	onEither
)

const anyLength = 1<<24 - 1

var rules = [...]rule{
	Data:           {FlagEndStream | FlagPadded, 0, anyLength, onStream},
	Headers:        {FlagEndStream | FlagEndHeaders | FlagPadded | FlagPriority, 0, anyLength, onStream},
	Priority:       {0, 5, 5, onStream},
	ResetStream:    {0, 4, 4, onStream},
	Settings:       {FlagAck, 0, anyLength, onConnection},
	PushPromise:    {FlagEndHeaders | FlagPadded, 4, anyLength, onStream},
	Ping:           {FlagAck, 8, 8, onConnection},
	GoAway:         {0, 8, anyLength, onConnection},
	WindowUpdate:   {0, 4, 4, onEither},
	Continuation:   {FlagEndHeaders, 0, anyLength, onStream},
	AltSvc:         {0, 2, anyLength, onEither},
	Origin:         {0, 0, anyLength, onConnection},
	PriorityUpdate: {0, 4, anyLength, onConnection},
}

// Valid reports whether a frame of a type that is known keeps the rules that hold wherever it stands. Of other types,
// of which there may be any, nothing is said.
func (h *Header) Valid() bool {
	if int(h.Type) >= len(rules) || h.Type == 11 {
		return true
	}
	r := &rules[h.Type]
	switch {
	case h.Length < r.least || h.Length > r.most,
		r.stream == onStream && h.Stream == 0,
		r.stream == onConnection && h.Stream != 0,
		h.Type == Settings && (h.Length%6 != 0 || h.Has(FlagAck) && h.Length > 0):
		return false
	}
	return true
}

// certain reports whether a header could hardly be anything else: only types of RFC 9113, only flags that are defined,
// sizes as they are with settings that are in use, and a stream that the client began.
func (h *Header) certain() bool {
	return h.Type <= Continuation && (h.Stream == 0 || h.Stream%2 == 1) && h.Valid() && h.Flags&^rules[h.Type].flags == 0 && h.Stream < 1<<28 && h.Length <= 1<<20 &&
		(h.Type != Settings || h.Length <= 6*32) && (h.Type != GoAway || h.Length <= 1<<10)
}
