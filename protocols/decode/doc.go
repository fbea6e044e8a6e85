// Package decode is what every protocol parser shares: the interface that it implements, the open exchanges of a
// connection, and the rules by which responses find their requests.
//
// A parser depends on nothing but bytes, offsets and times. It is handed both streams of a connection each time one of
// them has something new, takes what it understands, and reports exchanges through [Conn]. The example of the package
// is a whole parser.
//
// To add a protocol: copy one of the folders here, and add one line to the list in package all.
package decode
