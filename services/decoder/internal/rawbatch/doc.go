// Package rawbatch reads RawBatch messages without allocating: an event is decoded into memory that is used again for
// the next one. It reads the same wire format as the generated code, against which it is tested, and exists because
// that would allocate each of the events, at the price of all the rest of decoding.
package rawbatch
