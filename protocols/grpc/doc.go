// Package grpc is a room upon HTTP: calls of gRPC are exchanges of HTTP/2 whose Content-Type is application/grpc
// ("gRPC over HTTP2", https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). The parser is in
// [millrace.dev/protocols/grpc/decode], which that of HTTP/2 asks.
//
// Of a call its method, status and number of messages are known. The text of a status (grpc-message) stays on the node,
// because servers quote arguments in it.
//
// gRPC-Web (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md) is spoken in exchanges of HTTP/1.1 and
// HTTP/2. Its trailers are the last message of the body, so the node follows the messages of bodies: see [Web]. It is
// not understood over WebSocket.
package grpc

import (
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Number of the protocol.
const Number = millracev1.Protocol_PROTOCOL_GRPC

// IsContent reports whether a Content-Type says that a body holds messages of gRPC over HTTP/2: application/grpc,
// perhaps with a suffix or parameters, but not application/grpc-web.
func IsContent(value []byte) bool {
	const grpc = "application/grpc"
	return len(value) >= len(grpc) && string(value[:len(grpc)]) == grpc &&
		(len(value) == len(grpc) || value[len(grpc)] == '+' || value[len(grpc)] == ';')
}

// PrefixSize is what comes before each message: a byte that says whether it is compressed, and its length.
const PrefixSize = 5
