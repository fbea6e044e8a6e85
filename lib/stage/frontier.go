package stage

import "math/bits"

// frontier knows how far a partition's part of the stream was received, and so what retention removed before it could
// be.
//
// A filtered consumer skips the sequence numbers of other partitions, so a jump proves nothing. But while a pull
// request waits at the server, whatever is stored for the partition is sent at once; so messages can only be removed
// unread while no request waits (the processor is slow or blocked, or nobody owned the partition), and then the
// stream's first sequence passes the frontier.
type frontier struct {
	// received: every message of the partition up to here was received, or is known not to exist, or was counted as
	// lost.
	received uint64
}

// begin compares the frontier with the first sequence of the stream, where a consumer begins. The result is how many
// sequence numbers, of any partition, were removed past the frontier.
func (f *frontier) begin(first uint64) (removed uint64) {
	if first <= f.received+1 {
		return 0
	}
	removed = first - 1 - f.received
	f.received = first - 1
	return removed
}

// arrive notes a message. first is the first sequence of the stream, of late. clear says that a request was waiting
// since the message before, so that nothing can have been removed in between. The result is as that of begin.
func (f *frontier) arrive(sequence, first uint64, clear bool) (removed uint64) {
	if !clear && sequence > f.received+1 && first > f.received+1 {
		removed = min(first, sequence) - 1 - f.received
	}
	f.received = max(f.received, sequence)
	return removed
}

// stale reports whether a frontier without new messages is so far back in a stream from first to last that it should be
// looked up whether there really is nothing after it, before retention makes that impossible to know.
func (f *frontier) stale(first, last uint64) bool {
	return last > f.received && f.received < first+(last-first)/2
}

// share estimates how many of the removed messages were of one partition, which has pending of the total messages that
// are left. It rounds up, and is at least one: what cannot be ruled out is not kept silent.
func share(removed, pending, total uint64) uint64 {
	if removed == 0 {
		return 0
	}
	if total == 0 || pending == 0 {
		return 1
	}
	if pending >= total {
		return removed
	}
	high, low := bits.Mul64(removed, pending)
	low, carry := bits.Add64(low, total-1, 0)
	quotient, _ := bits.Div64(high+carry, low, total)
	return quotient
}
