// Package decode decodes the hellos of TLS. That of the client and that of the server are an exchange, which the
// server's hello ends; nothing is looked at behind it.
package decode
