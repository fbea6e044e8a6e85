// Package destination is where spans and metrics go: exporter components of the OpenTelemetry Collector, and a file of
// OTLP JSON lines. To add a component of the Collector: one line in [factories] and its key in the configuration.
package destination
