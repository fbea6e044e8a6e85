// Package decode decodes Memcached's text protocol with its meta commands.
//
// Each command is an exchange. Its statement is its line, without the value. Answers come in the order of the commands;
// those to quiet meta commands may be missing, and then the answer to a later command ends the exchange, as one that
// has no response.
package decode
