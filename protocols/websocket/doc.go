// Package websocket reads the frames of WebSocket (RFC 6455), to which a connection of HTTP/1.1 is upgraded (section 4)
// and in which messages follow each other from then on. It belongs to the room of HTTP/1, whose exchange of the upgrade
// says how many messages and bytes each end sent.
//
// Of a frame its header is looked at, and of a close frame the status code. A message is one or several frames; control
// frames may stand between these and are no messages. The bytes of a message are those of the payload as they are on
// the wire: with permessage-deflate (RFC 7692) of what is compressed.
//
// Not understood: extensions that use other bits of the header than permessage-deflate does, and WebSocket over HTTP/2
// (RFC 8441), whose frames are in the bodies of CONNECT.
package websocket
