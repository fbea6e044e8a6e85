// Package all is the list of conversations of the protocols that have a scanner, for tests.
package all

import (
	"slices"

	aws "millrace.dev/protocols/aws/conversations"
	dns "millrace.dev/protocols/dns/conversations"
	"millrace.dev/protocols/edge/edgetest"
	grpc "millrace.dev/protocols/grpc/conversations"
	http1 "millrace.dev/protocols/http1/conversations"
	http2 "millrace.dev/protocols/http2/conversations"
	kafka "millrace.dev/protocols/kafka/conversations"
	memcached "millrace.dev/protocols/memcached/conversations"
	mongodb "millrace.dev/protocols/mongodb/conversations"
	mysql "millrace.dev/protocols/mysql/conversations"
	postgres "millrace.dev/protocols/postgres/conversations"
	redis "millrace.dev/protocols/redis/conversations"
	tls "millrace.dev/protocols/tls/conversations"
)

// Conversations gives those of each protocol, by its name.
func Conversations() map[string][]edgetest.Conversation {
	return map[string][]edgetest.Conversation{
		"dns":        dns.List(),
		"http":       slices.Concat(http1.List(), aws.List(), grpc.List()),
		"http2":      slices.Concat(http2.List(), grpc.ListHTTP2()),
		"kafka":      kafka.List(),
		"memcached":  memcached.List(),
		"mongodb":    mongodb.List(),
		"mysql":      mysql.List(),
		"postgresql": postgres.List(),
		"redis":      redis.List(),
		"tls":        tls.List(),
	}
}
