// Package hpack is what the node and the decoder both need of HPACK (RFC 7541): integers, the Huffman code, the static
// table, and texts that take the place of others without changing any length.
//
// There is no dynamic table here, because the two keep different things of its entries: the node what the names mean,
// the decoder the texts.
package hpack
