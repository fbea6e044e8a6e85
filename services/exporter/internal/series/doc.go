// Package series keeps the state of one metric partition for one destination: cumulative series made of numbered
// batches of deltas. It is plain Go over values; time is the stream's.
//
// A [Store] is a function of the records it was given and of the boundaries of time between them, so that a replay
// comes to the same points. Its memory is bounded: what does not fit goes into series of overflow, so that totals stay
// right.
package series
