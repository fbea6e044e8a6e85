// Package message reads the messages of MongoDB byte by byte: the wire protocol and, of BSON, the elements that tell
// what a command is and how it ended. The node asks it which bytes may leave; the decoder asks it what they say. Both
// run the same code over the same bytes, so what the node leaves out never hides where an element begins: behind bytes
// that are missing, up to the end of the message, the next element of a document begins, or nothing.
//
// The formats are those of the MongoDB wire protocol (OP_MSG, OP_COMPRESSED, and the legacy opcodes) and of the BSON
// specification, version 1.1.
package message
