// Package decodertest drives a processor without NATS: it builds raw batches from a few calls and collects what comes
// out.
package decodertest
