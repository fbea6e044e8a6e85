package hpack

// MaxInteger bounds integers. No header block is longer.
const MaxInteger = 1 << 24

// Integer reads an integer whose first byte has prefix bits (section 5.1). size is the number of bytes that it takes: 0
// if b ends within it, negative if it is above [MaxInteger].
func Integer(b []byte, prefix uint) (v uint64, size int) {
	if len(b) == 0 {
		return 0, 0
	}
	most := uint64(1)<<prefix - 1
	if v = uint64(b[0]) & most; v < most {
		return v, 1
	}
	for i, c := range b[1:] {
		if i > 3 {
			return 0, -1
		}
		if v += uint64(c&0x7f) << (7 * i); v > MaxInteger {
			return 0, -1
		}
		if c < 0x80 {
			return v, i + 2
		}
	}
	if len(b) > 4 {
		return 0, -1
	}
	return 0, 0
}
