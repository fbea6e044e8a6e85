// Package stream is one direction of one connection end: bytes addressed by their 64-bit offset, each with the time at
// which it was moved and the task that moved it.
//
// Bytes arrive in events. An event always tells how many bytes it moved; some of them may not have been shipped (a
// hole: capture drops bodies on purpose, or could not read them). Whole events may be missing (a gap, known to the byte
// by the offsets), come slightly out of order, or twice. A [Stream] hides order and repetition from the parser and
// shows it runs of bytes, holes and gaps. Memory is bounded; parsers take what they can and leave the rest.
//
// A Stream is not safe for concurrent use.
package stream
