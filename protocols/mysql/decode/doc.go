// Package decode decodes the protocol of MySQL and MariaDB.
//
// A text query, the execution of a prepared statement and a bulk execution are an exchange each, with all their
// results: a query of several statements is one. Preparing is an exchange only if it fails. What else the client asks
// for (ping, a change of the database or user, fetching rows of a cursor) is followed, because answers come in order,
// and not published.
//
// Texts come with their literals blanked; rows, definitions and values do not come at all, and are passed over by the
// lengths of their packets.
package decode
