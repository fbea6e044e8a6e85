// Package all is the list of the node's halves of protocols.
package all

import (
	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/memcached"
	"millrace.dev/protocols/mongodb"
)

// List holds the node's half of each protocol that has a scanner. Each is recognised by its entry in the list of
// [millrace.dev/protocols/all].
var List = []*edge.Room{
	&dns.Edge,
	&mongodb.Edge,
	&memcached.Edge,
}
