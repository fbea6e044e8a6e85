// Package all is the list of protocols that are decoded.
package all

import (
	aws "millrace.dev/protocols/aws/decode"
	"millrace.dev/protocols/decode"
	dns "millrace.dev/protocols/dns/decode"
	elasticsearch "millrace.dev/protocols/elasticsearch/decode"
	graphql "millrace.dev/protocols/graphql/decode"
	grpc "millrace.dev/protocols/grpc/decode"
	http1 "millrace.dev/protocols/http1/decode"
	http2 "millrace.dev/protocols/http2/decode"
	kafka "millrace.dev/protocols/kafka/decode"
	memcached "millrace.dev/protocols/memcached/decode"
	mongodb "millrace.dev/protocols/mongodb/decode"
	mysql "millrace.dev/protocols/mysql/decode"
	postgres "millrace.dev/protocols/postgres/decode"
	redis "millrace.dev/protocols/redis/decode"
	tls "millrace.dev/protocols/tls/decode"
)

// List holds the decoder's half of each protocol. Each is recognised by the entry of the same number in the list of
// [millrace.dev/protocols/all].
var List = []decode.Protocol{
	http1.Protocol,
	http2.Protocol,
	kafka.Protocol,
	mongodb.Protocol,
	postgres.Protocol,
	redis.Protocol,
	dns.Protocol,
	memcached.Protocol,
	mysql.Protocol,
	tls.Protocol,
}

// Layers are the protocols that are spoken in exchanges of HTTP, one line each. The first that is sure of an exchange
// has it.
var Layers = []*decode.Layer{
	&aws.Layer,
	&elasticsearch.Layer,
	&graphql.Layer,
	&grpc.Layer,
}
