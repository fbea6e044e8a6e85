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
// Not understood: what OP_COMPRESSED holds. A compressed command has its times and sizes, and neither a name nor an
// error, because the node cannot blank within compressed bytes and drops them. OP_COMMAND, which clusters of MongoDB
// 3.2 to 4.0 used among themselves, is not recognised.
package mongodb
