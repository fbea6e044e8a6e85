// Package memcached knows Memcached's text protocol with its meta commands (doc/protocol.txt of memcached 1.6): by the
// first lines of both ends, and what of it may leave the node.
//
// It is the smallest whole room, and the one to copy. command.go is the table of commands, request.go and reply.go read
// lines in pieces of any size and say of each piece whether it may be shown, recognise.go judges first lines, edge.go
// is the node's half. The decoder's half is package decode below.
//
// Understood: all commands of the table, values of any size, several keys, noreply, quiet meta commands, authentication
// by a set command, pipelines. Keys, numbers and options are shown; values, statistics and what is not in the table are
// not.
//
// Not understood: the binary protocol (its first byte is 0x80; connections that speak it are given up), and UDP.
// Answers to quiet meta commands are told apart by their kind, and by the opaque token (flag O) where the client sends
// one.
package memcached
