// Package tls reads of an encrypted connection what its ends say before they encrypt: the hello of the client and
// that of the server (TLS 1.3: RFC 8446; 1.2: RFC 5246; server names: RFC 6066, section 3; ALPN: RFC 7301; GREASE:
// RFC 8701).
//
// The two hellos are an exchange. Of the client's the server name and the protocols that it offers are known, of the
// server's the version, and up to TLS 1.2 the protocol that it chose; from TLS 1.3 on the choice is encrypted. An
// alert of the server in place of its hello is the exchange's error. What follows is not looked at, and not copied.
//
// Not understood: hellos of SSL 2, DTLS, QUIC, and what is encrypted in a hello: with Encrypted Client Hello the
// server name is the public one, of the outer hello. A connection that is older than capture says nothing any more.
package tls
