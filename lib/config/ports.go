package config

import (
	"fmt"
	"strconv"
	"strings"
)

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// Contains reports whether port is in the range.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }

// maxPortRanges bounds one rule.
const maxPortRanges = 1024

// ParsePorts reads a list of ports and ranges, for example "80,8000-8999", as discovery.services[].open_ports has it.
// The empty text gives none.
func ParsePorts(text string) ([]PortRange, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxPortRanges {
		return nil, fmt.Errorf("%d ranges of ports are more than %d", len(parts), maxPortRanges)
	}
	ranges := make([]PortRange, 0, len(parts))
	for _, part := range parts {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		low, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		high, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		if err1 != nil || err2 != nil || low == 0 || low > high {
			return nil, fmt.Errorf("%q is not a port or a range of ports: write for example 80,8000-8999", clip(strings.TrimSpace(part)))
		}
		ranges = append(ranges, PortRange{First: uint16(low), Last: uint16(high)})
	}
	return ranges, nil
}
