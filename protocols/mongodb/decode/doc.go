// Package decode is the parser of MongoDB: it makes exchanges of commands and their replies, with the attributes of
// OpenTelemetry's conventions for MongoDB. Package mongodb says what is understood.
package decode
