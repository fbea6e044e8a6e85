// Command collector is an OpenTelemetry Collector as the Collector's own builder would make it, of what the tests need:
// the OTLP receiver, a file exporter, authentication by bearer token. It is a module of its own, outside of the
// workspace.
package main
