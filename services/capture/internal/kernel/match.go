package kernel

import (
	"encoding/binary"
	"fmt"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
)

// rawMatch is struct match in payload.h.
type rawMatch struct {
	Mask, Value [2]uint64
	Least       uint8
	Protocol    uint8
	Opening     uint8
	Reserved    [5]uint8
}

// matches is the table of first bytes as the kernel side reads it, and how many entries it has.
func matches() (table [protocols.MaxRules]rawMatch, count uint32, err error) {
	rules := all.Rules()
	if len(rules) > len(table) {
		return table, 0, fmt.Errorf("%d rules for first bytes, the kernel side has room for %d", len(rules), len(table))
	}
	for i, r := range rules {
		m := &table[i]
		for half := range m.Mask { // as memory: both architectures are little-endian
			m.Mask[half] = binary.LittleEndian.Uint64(r.Mask[half*8:])
			m.Value[half] = binary.LittleEndian.Uint64(r.Value[half*8:])
		}
		m.Least, m.Protocol = uint8(r.Least), uint8(r.Protocol)
		if r.Protocol == 0 {
			m.Protocol = pending
		}
		if r.Opening {
			m.Opening = 1
		}
	}
	return table, uint32(len(rules)), nil
}
