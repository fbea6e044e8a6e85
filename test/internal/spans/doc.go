// Package spans follows the OTLP JSON lines that Millrace's file exporter writes and keeps them by process.
package spans
