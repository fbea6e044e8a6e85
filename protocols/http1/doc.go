// Package http1 is HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112): how they are recognised, and what of them may leave the
// node.
//
// http1.go judges first lines. The files edge*.go are the node's half, which reads each byte of a direction once:
// messages (edge_message.go, edge_chunk.go), lines of heads that are there as a whole (edge_header.go, edge_screen.go)
// and those that are cut (edge_cut.go), targets (edge_target.go, edge_parameter.go). edge_names.go has the lists of
// names, edge_rules.go adds the settings to them. edge_heads.go offers the same rules to scanners that decode heads
// first. The decoder's half is package decode below.
//
// Understood: any method, all forms of targets, bodies of any framing, pipelines, interim responses. Behind an upgrade
// or a CONNECT that succeeded another protocol begins; nothing of it is looked at, but for HTTP/2 and WebSocket
// (edge_socket.go). Not understood: heads that are malformed or whose framing is ambiguous. What follows them in their
// direction is dropped.
package http1
