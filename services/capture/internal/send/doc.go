// Package send takes batches off the reader's hands: a bounded buffer in front of the bus. The reader never waits; when
// the bus is slow or away and the buffer is full, the oldest batches go and are counted.
package send
