// Package traffic publishes raw batches as capture does, of processes that do not exist, and knows which spans must
// come of them: ids are functions of the traffic. A suite that needs exactly counted load is so independent of the
// kernel and of its own speed.
//
// Its nodes say how far they are, as capture does.
//
// A lane is four processes on two nodes: a front calls a shop, which calls a stock and a Redis before it answers.
// Several chains of connections run through each lane, with one request at a time.
package traffic
