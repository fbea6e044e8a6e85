// Package postgres knows the protocol of PostgreSQL, version 3, by its messages, and decides what of them may leave the
// node. Source: PostgreSQL's documentation, chapter "Frontend/Backend Protocol", sections "Message Flow" and
// "Message Formats".
//
// Every message is a type (one byte), a length (four bytes, big-endian, which counts itself) and a body. The first
// message of a client has no type; behind a request for encryption, which the server answers with one byte, comes
// another such message.
//
// Not understood: protocol 2, what follows once encryption was agreed on, streaming replication (the connection is
// followed up to CopyBothResponse), and a statement that fails only when Sync ends its implicit transaction.
package postgres
