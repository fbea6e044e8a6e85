// Package netns makes network namespaces joined by a veth pair that loses packets, to test what retransmission does.
// The loss is made by a tc program, because not every kernel has netem.
package netns
