// Package graphql is what is known of GraphQL over HTTP (https://graphql.github.io/graphql-over-http/draft/, documents:
// https://spec.graphql.org/October2021/): requests of POST with a body of JSON. The layer is off unless it is switched
// on, because what it reads is in bodies.
//
// Not understood: requests of GET, bodies of application/graphql, multipart requests and responses, subscriptions over
// WebSocket or server-sent events, bodies with a Content-Encoding, bodies over HTTP/2, and what of a body the kernel
// side does not copy: see docs/kernels.md, "Limits".
package graphql
