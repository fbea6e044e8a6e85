// Package decode says of an exchange of HTTP/2 what it is as a call of gRPC, in the words of
// https://opentelemetry.io/docs/specs/semconv/rpc/grpc/ (stable since 1.45).
package decode
