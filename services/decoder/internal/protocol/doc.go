// Package protocol is what every protocol parser shares: the interface that it implements, the open exchanges of a
// connection, and the rules by which responses find their requests.
//
// A parser depends on nothing but bytes, offsets and times. It is handed both streams of a connection each time one of
// them has something new, takes what it understands, and reports exchanges through [Conn]:
//
//	x := c.Begin()         // at the first byte of a request
//	c.Started(x)           // what the request says of itself is known
//	c.EndRequest(x)        // behind the last byte of the request
//	x, verdict := c.Match() // at the first byte of a response
//	c.EndResponse(x, ...)  // behind its last byte
//
// To add a protocol: copy one of the folders here, and add one line to the list in package registry.
package protocol
