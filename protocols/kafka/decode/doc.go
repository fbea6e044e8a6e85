// Package decode is the parser of Kafka: it makes exchanges of Produce and Fetch requests, with the attributes of
// OpenTelemetry's conventions for messaging. Package kafka says what is understood.
package decode
