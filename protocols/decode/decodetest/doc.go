// Package decodetest tests the parsers of rooms. A room writes down how its protocol is spoken, as conversations, and
// [Kit.Run] reads them in every way in which events may come. [Drive] and [Kit.Fuzz] drive a parser with scripts that a
// fuzzer can write. [Frames] is a made-up protocol for tests of what is common to parsers.
package decodetest
