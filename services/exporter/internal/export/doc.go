// Package export reads span batches and hands them to one destination: the pure part of the exporter.
package export
