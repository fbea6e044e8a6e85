// Package export reads batches of spans and metrics and hands them to one destination: the pure part of the exporter.
package export
