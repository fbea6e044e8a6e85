// Package http2 is HTTP/2 (RFC 9113) at the node: its first bytes, its frames, and what of them may leave.
//
// Of each frame its header leaves. Of DATA nothing else does, but for the five bytes before each message of gRPC; of
// RST_STREAM and GOAWAY the error code does, of PUSH_PROMISE the promised stream. Padding, debug data, settings, pings
// and frames of unknown types stay.
//
// Header blocks leave with the values that HTTP/1 would show and the lengths of all others. HPACK (RFC 7541) makes that
// harder than blanking: a decoder must come to a dynamic table of the same sizes, or it reads wrong names and values
// from there on. So a value in plain text is overwritten with as many '*', and a value in Huffman code with another of
// the same length in code and in text, see [millrace.dev/protocols/http2/hpack.Fill]. What of a value is shown stays
// where it is. Names that are not known are overwritten likewise.
//
// The scanner follows the names of the dynamic table, not its values and not its size: an encoder never refers to what
// it has evicted, so what is kept for too long is never asked for. Where the table is not known, on a connection that
// was joined or behind a gap, each value is blanked whose name is an index into what was missed.
//
// A value that the end of an event cuts cannot be judged as a whole. It is kept as far as its beginning alone tells
// that it may be (the path, the status, numbers, names on the lists), else the rest is overwritten. Where the cut is
// within a code, the bits before it say how long the code may become, and of a value that is being kept they are the
// first bits of its next character.
//
// What is not understood: HTTP/2 within TLS, and priorities. A block for whose values there is no replacement (texts of
// control characters, which RFC 9113 section 8.2.1 forbids) is dropped from there on and counted as unreadable by the
// decoder.
package http2
