// Package callgraph is a small application for tests of traces: A calls B, and B calls C twice in parallel and Redis
// once. The nodes are ordinary net/http servers and clients with pooled connections. Each request carries an id in its
// query, so that the spans can be compared with what really called what; and each node reports any header that its
// caller has not sent.
package callgraph
