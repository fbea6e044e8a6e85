// Package registry is the list of protocols.
package registry

import (
	"millrace.dev/services/decoder/internal/protocol"
	"millrace.dev/services/decoder/internal/protocol/http1"
	"millrace.dev/services/decoder/internal/protocol/redis"
)

// Protocols are those that are decoded. Each is recognised by the entry of the same number in the list of
// [millrace.dev/protocols/all].
var Protocols = []protocol.Protocol{
	http1.Protocol,
	redis.Protocol,
}
