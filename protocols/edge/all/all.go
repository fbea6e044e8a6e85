// Package all is the list of the node's halves of protocols.
package all

import (
	"millrace.dev/protocols/aws"
	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/elasticsearch"
	"millrace.dev/protocols/graphql"
	"millrace.dev/protocols/grpc"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/http2"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/memcached"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mysql"
	"millrace.dev/protocols/postgres"
	"millrace.dev/protocols/redis"
	"millrace.dev/protocols/tls"
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
	&tls.Edge,
}

// Layers are the node's halves of protocols that are spoken in exchanges of HTTP.
var Layers = []*edge.Layer{
	&aws.Edge,
	&elasticsearch.Edge,
	&graphql.Edge,
	&grpc.Edge,
}

// LayersOf gives the layers of the list as settings by name ask for them (ebpf.payload_extraction.http). Bodies are
// needed only where the layer is switched on, but for [edge.LayerBody.Always]; a layer that needs none is there unless
// it is switched off.
func LayersOf(on map[string]bool) (list []*edge.Layer) {
	for _, layer := range Layers {
		set, known := on[layer.Protocol.Name]
		switch {
		case layer.Body != nil && !set && (known || !layer.Body.Always):
			heads := *layer
			heads.Body = nil
			list = append(list, &heads)
		case set || !known:
			list = append(list, layer)
		}
	}
	return list
}

// Complete adds to settings what scanners of several protocols share.
func Complete(r *edge.Rules) (err error) {
	r.Heads, err = http1.NewHeads(r)
	return err
}
