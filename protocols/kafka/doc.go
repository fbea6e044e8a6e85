// Package kafka is Kafka: its protocol with the APIs and versions of Kafka 4.2, share groups (KIP-932) among them.
// Package message reads it.
//
// A Produce request makes an exchange for each topic that it names (a span "send TOPIC", PRODUCER at the client). A
// Fetch or ShareFetch request makes one for each topic of which its response has records or an error (a span "poll
// TOPIC", CONSUMER at the client); one whose response has neither makes none, nor do the fetches with which brokers
// copy partitions. The exchanges of a request have its times. The bytes of the request and of the response are
// divided among them: what is common to topics counts for the first, and the request of a fetch, whose topics may be
// those of its session, counts for the first altogether. An exchange names its partition if that is the only one of
// its topic. It failed if one of its partitions did: the error is that of the first, and the message says how many of
// how many.
//
// Requests and responses are matched by correlation id. With acks=0 a Produce request has no response, and the exchange
// is one way. Other APIs (metadata, groups, transactions, acknowledgements, administration) are followed, and make no
// exchange: OpenTelemetry's conventions have an operation for commits alone, which come with every poll.
//
// Newer versions name topics by ids. The names come from Metadata responses on any connection that the same decoder
// sees; until one was seen, the id stands for the name.
//
// A ShareFetch names its group. A Fetch does not: its group is known where requests of one group alone are on its
// connection. Consumers of most libraries speak with the coordinator of their group on another connection. What the two
// connections share is the process and the name of the client, and neither is that of one consumer (librdkafka calls
// all of them rdkafka), so the group is left out there.
//
// What leaves the node: headers of requests and responses with the name of the client, of Produce, Fetch and ShareFetch
// the topics, partitions, error codes, lengths, ranges of acquired records, and of batches how many records they have;
// of uncompressed records the header traceparent, to which the span links; of group requests the name of the group; of
// Metadata responses topics and their ids. Keys, values, other headers, messages of errors, names of hosts and all that
// authenticates are dropped.
//
// Not understood: records in compressed batches (they are counted, but for those of Kafka before 0.11, and have no
// links, because the node does not inflate what may be a megabyte for a header); records beyond the first 32 of a batch
// have no links; sessions that authenticate with tokens behind SaslHandshake version 0 are followed again with the next
// request that begins an event. A consumer that starts within a batch gets the records before its place as well and
// drops them; they count. Of a message that is longer than 16 KiB topics behind these are not seen: they are
// neither exchanges, nor in the count of messages, which is left out.
package kafka
