// Package edgetest tests scanners of rooms. A room describes how its protocol is spoken, with secrets planted in it, as
// a list of [Conversation]. [Run] passes each to a scanner cut at every byte, with bytes missing, repeated and joined
// in the middle, and checks that no secret leaves the node, that what leaves is at its right place, and that nothing
// panics. [Fuzz] does the same with bytes that are no protocol at all. [Framed] is a made-up protocol with a room, for
// tests of what serves rooms.
package edgetest
