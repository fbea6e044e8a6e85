// Package message reads the messages of Kafka byte by byte, by a table of what the requests and responses hold in each
// of their versions. The node asks it which bytes may leave; the decoder asks it what they say. Both run the same code
// over the same bytes: what the table says is of no interest the node leaves out, and the decoder knows how long it is.
//
// The format is that of the Kafka protocol guide, with the message definitions of Kafka 4.1; record batches are those
// of its implementation notes.
package message
