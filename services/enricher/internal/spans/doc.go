// Package spans turns exchanges into spans: it copies what the protocol says in the words of the OpenTelemetry semantic
// conventions, and adds what is known of both ends. It knows no protocol. It writes the protobuf form of
// [millracev1.Span] directly: building the message first cost about forty allocations a span, this costs none.
package spans
