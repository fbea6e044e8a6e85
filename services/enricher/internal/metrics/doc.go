// Package metrics aggregates exchanges into deltas of metrics, over windows of the stream's time. One [Aggregator]
// belongs to one partition of the exchange stream and is part of its state, so that its batches are a function of the
// partition's records: after a crash the same batches are published under the same numbers. docs/metrics.md says what
// users see, lib/catalog which metrics there are.
//
// To add a metric: an entry in lib/catalog, and one in the list of instrument.go that says what it measures. To add an
// attribute: its name in the metric's list in lib/catalog, and an entry in field.go that says where its value comes
// from. What a protocol tells is in a file of its own (http.go, redis.go).
//
// Files: settings.go and plan.go (from the configuration to what is measured), source.go (from processes to resources),
// facts.go, edge.go and field.go (what is known of an exchange), aggregator.go, series.go and exponential.go (adding
// up), batch.go (publication), snapshot.go.
package metrics
