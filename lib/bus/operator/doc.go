// Package operator makes the accounts of a NATS server and the credentials of Millrace's roles (see package access): an
// operator, an account with a signing key for each role, and users. What a role may do stands in the account, under the
// role's signing key, and not in its users: new permissions reach every credential that was issued with a reload of the
// server.
//
// It is for the command line. Services only carry the file that it wrote.
package operator
