// Package all is the list of protocols.
package all

import (
	"millrace.dev/protocols"
	"millrace.dev/protocols/dns"
	"millrace.dev/protocols/http1"
	"millrace.dev/protocols/http2"
	"millrace.dev/protocols/kafka"
	"millrace.dev/protocols/memcached"
	"millrace.dev/protocols/mongodb"
	"millrace.dev/protocols/mysql"
	"millrace.dev/protocols/postgres"
	"millrace.dev/protocols/proxy"
	"millrace.dev/protocols/redis"
	"millrace.dev/protocols/tls"
)

// List holds every protocol that is recognised, one line each. The order only matters to the kernel side, among rules
// that name a protocol.
var List = []*protocols.Protocol{
	&tls.Protocol,
	&http2.Protocol,
	&redis.Protocol,
	&dns.Protocol,
	&http1.Protocol,
	&mongodb.Protocol,
	&kafka.Protocol,
	&memcached.Protocol,
	&postgres.Protocol,
	&mysql.Protocol,
	&proxy.Protocol,
}

// Of gives the protocol with a number, nil if there is none.
func Of(number int32) *protocols.Protocol {
	for _, p := range List {
		if number != 0 && int32(p.Number) == number {
			return p
		}
	}
	return nil
}

// Rules are those of the kernel side, in order.
func Rules() []protocols.Rule { return protocols.Rules(List) }
