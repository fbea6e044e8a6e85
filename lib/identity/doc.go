// Package identity turns what both ends of a connection know into identifiers: of connections, exchanges, spans, traces
// and processes. Every function is pure, so processing the same traffic twice gives the same identifiers, in every
// process and on every node. Changing any of them breaks pairing between versions: treat them as a wire format.
package identity
