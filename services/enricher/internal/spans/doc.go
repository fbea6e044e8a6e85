// Package spans turns exchanges into spans under the OpenTelemetry semantic conventions (HTTP: stable; database: stable
// names for Redis). It writes the protobuf form of [millracev1.Span] directly: building the message first cost about
// forty allocations a span, this costs none.
//
// To add a protocol: one file with a describe function, one line in [describe].
package spans
