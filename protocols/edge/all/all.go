// Package all is the list of the node's halves of protocols.
package all

import (
	"millrace.dev/protocols/aws"
	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/elasticsearch"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/http2"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/memcached"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mysql"
	"millrace.dev/protocols/postgres"
	"millrace.dev/protocols/redis"
)

// List holds the node's half of each protocol that has a scanner. Each is recognised by its entry in the list of
// [millrace.dev/protocols/all].
var List = []*edge.Room{
	&dns.Edge,
	&http1.Edge,
	&http2.Edge,
	&memcached.Edge,
	&mongodb.Edge,
	&mysql.Edge,
	&kafka.Edge,
	&postgres.Edge,
	&redis.Edge,
}

// Layers are the node's halves of protocols that are spoken in exchanges of HTTP.
var Layers = []*edge.Layer{
	&aws.Edge,
	&elasticsearch.Edge,
}

// Complete adds to settings what scanners of several protocols share.
func Complete(r *edge.Rules) (err error) {
	r.Heads, err = http1.NewHeads(r)
	return err
}
