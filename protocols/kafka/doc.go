// Package kafka is Kafka: its protocol with the APIs and versions of Kafka 4.1. Package message reads it.
//
// A Produce request makes an exchange for each topic that it names (a span "send TOPIC", PRODUCER at the client), a
// Fetch request one exchange if its response has records or an error (a span "poll TOPIC", CONSUMER at the client); the
// fetches with which brokers copy partitions make none. Requests and responses are matched by correlation id. Where a
// fetch has records of several topics, its span names none of them. With acks=0 a Produce request has no response, and
// the exchange is one way. Other APIs (metadata, groups, transactions, administration) are followed, and make no
// exchange: OpenTelemetry's conventions have no operation for them but for commits, which come with every poll.
//
// Newer versions name topics by ids. The names come from Metadata responses on any connection that the same decoder
// sees; until one was seen, the id stands for the name.
//
// What leaves the node: headers of requests and responses with the name of the client, of Produce and Fetch the topics,
// partitions, error codes, lengths, and of batches how many records they have; of uncompressed records the header
// traceparent, to which the span links; of group requests the name of the group; of Metadata responses topics and their
// ids. Keys, values, other headers, messages of errors, names of hosts and all that authenticates are dropped.
//
// Not understood: records in compressed batches (they are counted, but for those of Kafka before 0.11, and have no
// links); records beyond the first 32 of a batch have no links; ShareFetch; sessions that authenticate with tokens
// behind SaslHandshake version 0 are followed again with the next request that begins an event. A consumer that starts
// within a batch gets the records before its place as well and drops them; they count.
package kafka
