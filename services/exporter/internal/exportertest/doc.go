// Package exportertest makes what the exporter reads, as the enricher writes it, for benchmarks of the stages.
package exportertest
