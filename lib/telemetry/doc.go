// Package telemetry is how a Millrace service shows itself: a logger, a Prometheus registry, and an HTTP endpoint with
// /healthz, /readyz and /metrics.
//
// Log at the top of a service, on changes of state; count everything that happens per event. Metrics are named
// millrace_<service>_<what>_<unit or total>.
package telemetry
