package all

import (
	aws "millrace.dev/protocols/aws/conversations"
	dns "millrace.dev/protocols/dns/conversations"
	"millrace.dev/protocols/edge/edgetest"
	elasticsearch "millrace.dev/protocols/elasticsearch/conversations"
	graphql "millrace.dev/protocols/graphql/conversations"
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

// RoomLoads are the loads of a room.
type RoomLoads struct {
	// Room is the name of the protocol, Scanner that of the one whose scanner follows its connections.
	Room, Scanner string
	Loads         []edgetest.Load
}

// Loads gives what is benchmarked of each protocol.
func Loads() []RoomLoads {
	return []RoomLoads{
		{"http", "http", http1.Loads()},
		{"redis", "redis", redis.Loads()},
		{"http2", "http2", http2.Loads()},
		{"grpc", "http2", grpc.Loads()},
		{"postgresql", "postgresql", postgres.Loads()},
		{"mysql", "mysql", mysql.Loads()},
		{"mongodb", "mongodb", mongodb.Loads()},
		{"memcached", "memcached", memcached.Loads()},
		{"kafka", "kafka", kafka.Loads()},
		{"dns", "dns", dns.Loads()},
		{"elasticsearch", "http", elasticsearch.Loads()},
		{"aws", "http", aws.Loads()},
		{"graphql", "http", graphql.Loads()},
		{"tls", "tls", tls.Loads()},
	}
}
