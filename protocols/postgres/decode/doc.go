// Package decode reads the messages of PostgreSQL and makes exchanges of them.
//
// One exchange is one simple query, with all of its statements, or one Execute of the extended protocol. It begins with
// the first message that is sent for it: Parse, Bind, Describe, or the Execute itself. A simple query ends with
// ReadyForQuery; an Execute ends when its result is complete, because ReadyForQuery ends a whole pipeline. Parse, Bind,
// Describe and Close are exchanges of their own only if they fail and no Execute goes with them. What the server passes
// over behind an error, up to Sync, was not executed and is no exchange.
package decode
