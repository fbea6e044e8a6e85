// Package catalog is the list of metrics that Millrace makes: their names, units, kinds and the feature that switches
// each on. The enricher aggregates by it, the exporter describes and names series by it, and docs/metrics.md is
// generated from it.
//
// To add a metric: one entry in the list of its feature, and, in the enricher, what it measures.
package catalog
