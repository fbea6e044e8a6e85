package decode

import (
	"bytes"
	"encoding/binary"

	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/grpc"
)

// Names of attributes.
var (
	attrSystem     = decode.Attribute("rpc.system.name")
	attrMethod     = decode.Attribute("rpc.method")
	attrStatus     = decode.Attribute("rpc.response.status_code")
	attrRequests   = decode.Attribute("millrace.rpc.request.messages")
	attrResponses  = decode.Attribute("millrace.rpc.response.messages")
	attrCompressed = decode.Attribute("millrace.rpc.compressed")
)

// Code is a status of gRPC.
type Code uint32

// Codes that are made of errors of HTTP/2.
const (
	Cancelled         Code = 1
	Unknown           Code = 2
	DeadlineExceeded  Code = 4
	PermissionDenied  Code = 7
	ResourceExhausted Code = 8
	Unimplemented     Code = 12
	Internal          Code = 13
	Unavailable       Code = 14
	DataLoss          Code = 15
	Unauthenticated   Code = 16
)

var names = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

// String gives the name of a status; that of UNKNOWN for codes that are not defined.
func (c Code) String() string {
	if int(c) >= len(names) {
		return names[Unknown]
	}
	return names[c]
}

// failed reports whether a status is an error at an end: each is but OK at a client. At a server those are that say
// that the server is at fault.
func (c Code) failed(client bool) bool {
	if client {
		return c != 0
	}
	switch c {
	case Unknown, DeadlineExceeded, Unimplemented, Internal, Unavailable, DataLoss:
		return true
	default:
	}
	return int(c) >= len(names)
}

// Layout of a call in [decode.Exchange.Scratch].
const (
	atTimeout  = 0                         // not 0: the client may have said for how long it waits
	atMessages = 8                         // of the request, of the response
	callSize   = atMessages + 2*streamSize //
	streamSize = 4 + 4 + 1 + 1
)

// flags of messages of a direction.
const (
	flagLost       = 1 // where the next message begins is not known
	flagCompressed = 2
)

// Begin makes x a call. path is that of the request, empty if it is not known. timeout says that the client may have
// said for how long it waits (grpc-timeout).
func Begin(x *decode.Exchange, path []byte, timeout bool) {
	sayCall(x, path)
	x.Scratch = append(x.Scratch[:0], make([]byte, callSize)...)
	if timeout {
		x.Scratch[atTimeout] = 1
	}
}

// sayCall says that x is a call.
func sayCall(x *decode.Exchange, path []byte) {
	x.Said.Family, x.Said.Protocol = decode.RPC, grpc.Number
	x.Said.Attributes.String(attrSystem, "grpc")
	method := bytes.TrimPrefix(path, []byte{'/'})
	if len(method) > 0 {
		x.Said.Attributes.Text(attrMethod, method)
		x.Said.Operation = append(x.Said.Operation[:0], method...)
	} else {
		x.Said.Operation = append(x.Said.Operation[:0], "grpc"...)
	}
}

// Is reports whether x is a call.
func Is(x *decode.Exchange) bool { return x.Said.Protocol == grpc.Number && len(x.Scratch) == callSize }

// Data reads n bytes of messages, of the request or of the response, of which the first are known. It counts the
// messages that begin in them. lost says that the others were lost, and not dropped by the node.
func Data(x *decode.Exchange, response bool, known []byte, n uint64, lost bool) {
	if IsWeb(x) {
		readWeb(x.Scratch, response, known, n, lost)
		return
	}
	if !Is(x) {
		return
	}
	m := x.Scratch[atMessages:]
	if response {
		m = m[streamSize:]
	}
	count, left := binary.LittleEndian.Uint32(m), binary.LittleEndian.Uint32(m[4:])
	have, flags := m[8], m[9]
	for n > 0 && flags&flagLost == 0 {
		switch {
		case have == grpc.PrefixSize && left > 0:
			take := min(uint64(left), n)
			left -= uint32(take)
			n -= take
			known = known[min(uint64(len(known)), take):]
			continue
		case have == grpc.PrefixSize:
			have, left = 0, 0
			continue
		case len(known) == 0, have == 0 && known[0] > 1:
			flags |= flagLost
			continue
		case have == 0:
			if known[0] == 1 {
				flags |= flagCompressed
			}
		default:
			left = left<<8 | uint32(known[0])
		}
		known = known[1:]
		n--
		if have++; have == grpc.PrefixSize {
			count++
		}
	}
	binary.LittleEndian.PutUint32(m, count)
	binary.LittleEndian.PutUint32(m[4:], left)
	m[8], m[9] = have, flags
}

// Status says how a call ended.
func Status(x *decode.Exchange, code Code, client bool) {
	x.Said.Attributes.String(attrStatus, code.String())
	if code.failed(client) {
		x.Said.ErrorType = append(x.Said.ErrorType[:0], code.String()...)
	}
}

// CodeOf reads a grpc-status.
func CodeOf(value []byte) (Code, bool) {
	if len(value) == 0 || len(value) > 3 {
		return 0, false
	}
	n := Code(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + Code(c-'0')
	}
	return n, true
}

// OfHTTP gives the status of a response that has none of gRPC, by its status of HTTP
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
func OfHTTP(status int) Code {
	switch status {
	case 400:
		return Internal
	case 401:
		return Unauthenticated
	case 403:
		return PermissionDenied
	case 404:
		return Unimplemented
	case 429, 502, 503, 504:
		return Unavailable
	}
	return Unknown
}

// OfReset gives the status of a call that RST_STREAM ended, by its error code. A client that gives up says CANCEL, be
// it that its program cancelled the call or that its time was over: what its program is told is only known where the
// call has no grpc-timeout. When the time began is not on the wire, because a head may wait in the client before it is
// sent, so comparing times would be a guess.
func OfReset(x *decode.Exchange, code uint32) (status Code, known bool) {
	switch code {
	case 0x7: // REFUSED_STREAM
		return Unavailable, true
	case 0x8: // CANCEL
		return Cancelled, binary.LittleEndian.Uint64(x.Scratch[atTimeout:]) == 0
	case 0xb: // ENHANCE_YOUR_CALM
		return ResourceExhausted, true
	case 0xc: // INADEQUATE_SECURITY
		return PermissionDenied, true
	}
	return Internal, true
}

// Reset says that RST_STREAM ended a call. A status that is not known is left out; at a client the error is then the
// name of the code, CANCEL: the call failed, one way or the other. At a server it is none that is known to be its own.
func Reset(x *decode.Exchange, code uint32, name string, client bool) {
	if status, known := OfReset(x, code); known {
		Status(x, status, client)
	} else if client {
		x.Said.ErrorType = append(x.Said.ErrorType[:0], name...)
	}
}

// End adds what is known when a call ends.
func End(x *decode.Exchange) {
	if !Is(x) {
		return
	}
	compressed := false
	for i, name := range [2]decode.Name{attrRequests, attrResponses} {
		m := x.Scratch[atMessages+i*streamSize:]
		if m[9]&flagLost == 0 {
			x.Said.Attributes.Number(name, int64(binary.LittleEndian.Uint32(m)))
		}
		compressed = compressed || m[9]&flagCompressed != 0
	}
	if compressed {
		x.Said.Attributes.Yes(attrCompressed)
	}
}
