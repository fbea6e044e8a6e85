// Package scrape is the Prometheus endpoint: the series of the partitions that this instance owns, in OpenMetrics text,
// in Prometheus' own text format, and in protobuf with native histograms.
//
// A partition is served from when its state has caught up with the stream, so that no counter goes back after a
// takeover, and for as long as its lease holds, so that no series is served twice.
package scrape
