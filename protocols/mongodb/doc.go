// Package mongodb is MongoDB: its wire protocol (OP_MSG, OP_COMPRESSED, and the legacy opcodes OP_QUERY, OP_REPLY,
// OP_GET_MORE, OP_INSERT, OP_UPDATE and OP_DELETE) with BSON 1.1 in it, as the MongoDB manual and the drivers'
// specifications describe them. Package message reads both.
//
// An exchange is a command and its reply, matched by requestID and responseTo: also getMore, and ping where a client
// sends it as a command. A command without a reply (the flag moreToCome, the legacy writes) is one way. The replies of
// an exhaust cursor belong to the one command that asked for them. The commands with which drivers set up, watch and
// authenticate connections (hello, isMaster, saslStart, saslContinue, authenticate, getnonce, logout) are followed, and
// make no exchange.
//
// What leaves the node: headers; the name of a command; the names of its collection and database; how many documents it
// has; of a reply whether it is ok, the code of its error with the code's name, and how many documents the first batch
// has. Everything else is dropped: filters, documents, sessions, cursor ids, messages of errors, and all that
// authenticates. So there is no query text.
//
// Of a compressed message (snappy, zlib, zstd) the node inflates the beginning, and restates what leaves of it:
// the same that leaves of any other message. It reads at most 16 KiB of the compressed bytes, and 64 KiB of what
// they hold, so that a message which holds far more than it is long costs no more than others. What is behind is
// left out; of zstd, which can be read block by block alone, nothing is known of a block that does not end within
// the 16 KiB. Sizes are those on the wire.
//
// Not understood: what OP_COMPRESSED holds where no node restates it, as in packet captures, and where a part of the
// compressed bytes was not seen. Such a command has its times and sizes, and neither a name nor an error. OP_COMMAND,
// which clusters of MongoDB 3.2 to 4.0 used among themselves, is not recognised.
package mongodb
