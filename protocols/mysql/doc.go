// Package mysql knows the protocol of MySQL and MariaDB, version 10: MySQL's "MySQL Client/Server Protocol" (Internals
// documentation of the server's sources) and MariaDB's "Client/Server Protocol".
//
// wire.go reads what packets are made of, command.go is the table of commands, answer.go follows the packets of an
// answer by their first bytes. edge.go with edge_client.go and edge_server.go is the node's half, edge_compressed.go
// what it inflates, package decode below the decoder's half.
//
// Of the server's packets only the numbers leave the node: how many rows there are, status flags, the code and the
// state of an error. Texts, definitions, rows and challenges are dropped. Of the client's leave statements with their
// literals blanked, names of databases and numbers of prepared statements; users and proofs are blanked, values and
// files are dropped.
//
// Behind a request for encryption the connection goes on as TLS. Not understood: a client that replicates, and
// compression that the server did not offer; the connection is given up, and counted. The names of tables of
// COM_FIELD_LIST are not kept.
package mysql
