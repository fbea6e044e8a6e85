// Package decode decodes HTTP/2 as RFC 9113 and RFC 7541 describe them, from the bytes that the node lets through: see
// [millrace.dev/protocols/http2].
//
// An exchange is a stream that the client begins. Its sizes are those of the HEADERS, CONTINUATION and DATA frames of
// the stream with their headers; its bodies are the DATA without padding. Which streams it has, and what their heads
// say, is read from each direction alone; that a dynamic table is not known, on a connection that was joined or behind
// a gap, leaves the fields unknown that refer to it, and says so.
//
// Pushed streams are passed over: nothing asked for them.
package decode
