// Package registry is the list of protocols.
package registry

import (
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/protocol/http1"
	"millrace.dev/services/decoder/internal/protocol/redis"
)

// Protocols are tried in this order.
var Protocols = []protocol.Protocol{
	http1.Protocol,
	redis.Protocol,
}
