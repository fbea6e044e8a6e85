// Package otlp turns span batches of the bus into OTLP, without the message objects between: spans are read from their
// encoded form into memory that is used again ([Batch], [Span]), and written as OTLP JSON ([JSON]) or into the
// Collector's form ([Traces]).
package otlp
