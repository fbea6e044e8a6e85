// Package backends proves Millrace's metrics and traces against programs that are not Millrace's: Debian's Prometheus,
// an OpenTelemetry Collector and a Jaeger built from their modules. An application whose every request is known
// beforehand (internal/shop) is watched by the real capture; what the backends answer when they are asked must equal
// what it did. See `make test-backends`.
package backends
