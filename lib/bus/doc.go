// Package bus is everything Millrace knows about NATS: subjects, partitions, streams, the embedded server and connections. Subjects and
// schemas are public: anyone may subscribe.
package bus
