package stage

import (
	"strconv"
	"strings"
	"time"
)

// delivery is what the reply subject of a message from a JetStream consumer says.
type delivery struct {
	stream   uint64 // sequence in the stream
	consumer uint64 // how many messages the consumer has delivered, with this one
	pending  uint64 // how many messages of the filter are left behind this one
	stored   time.Time
}

// parseDelivery reads the two forms of $JS.ACK subjects, see ADR-15 of NATS:
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>[.<token>...]
func parseDelivery(reply string) (d delivery, ok bool) {
	rest, found := strings.CutPrefix(reply, "$JS.ACK.")
	if !found {
		return delivery{}, false
	}
	skip := 3
	switch n := strings.Count(rest, ".") + 1; {
	case n == 7:
	case n >= 9:
		skip = 5
	default:
		return delivery{}, false
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var values [4]uint64
	for i := range values {
		var token string
		token, rest, _ = strings.Cut(rest, ".")
		v, err := strconv.ParseUint(token, 10, 64)
		if err != nil {
			return delivery{}, false
		}
		values[i] = v
	}
	return delivery{stream: values[0], consumer: values[1], stored: time.Unix(0, int64(values[2])).UTC(), pending: values[3]}, true
}
