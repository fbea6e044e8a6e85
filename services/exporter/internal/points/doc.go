// Package points makes OTLP metrics of a store of series.
package points
