// Package dns is what the node and the decoder know of DNS: RFC 1035 sections 4.1 and 4.2.2, RFC 7766
// (pipelined queries, answers in any order), RFC 6891 (EDNS), RFC 5936 (zone transfers).
//
// Understood are queries of one question, notifications and updates, and their answers. What a message says of itself
// leaves the node: headers, names, types, and the data of A, AAAA and CNAME records. The data of all other records is
// blanked: texts may be tokens, options may name clients, signatures are of no use. An answer to a zone transfer
// (AXFR) may take many messages; it is one exchange.
//
// Not understood: DNS over TLS, HTTPS and QUIC, stateful operations (RFC 8490), messages of several questions.
package dns
