// Package exporter is the service that hands spans to their destinations: OTLP backends, the debug log, a file. Each
// destination reads the stream on its own, so one that is away holds up none of the others and loses nothing inside the
// stream's retention.
package exporter
