// Package decode decodes HTTP/1.0 and HTTP/1.1 as RFC 9112 describes them.
//
// Heads are read line by line, so that nothing is searched twice and no head is held as a whole. Bodies are counted,
// never looked at; they may be holes. A body whose framing is lost (a chunk header in a hole) ends where an event ends
// with the last chunk, and its sizes are estimates. After a gap the parser goes on at the next event that begins like a
// message.
package decode
