package hpack

// standins holds a byte for each length of a code that may take the place of bytes that are not shown. Those with long
// codes are rare in texts, so their stand-ins are rare.
var standins = [maxBits + 1]byte{
	5: '0', 6: '-', 7: 'x', 8: '*', 10: '!', 11: '|', 12: '>', 13: '~', 14: '^', 15: '`',
	19: 0xc3, 20: 0x80, 21: 0x99, 22: 0x81, 23: 0x87, 24: 0x8e, 25: 0xc7, 26: 0xc0, 27: 0xcb, 28: 0xf9,
}

// Lengths of codes of which stand-ins may be made up: first only of printable characters.
const mostPrintable, mostOther = 15, 28

// feasible reports whether n stand-ins of at most most bits take bits bits. Two and more can take every number of bits
// between the least and the most that there are, which a test tries.
func feasible(n, bits, most int) bool {
	switch n {
	case 0:
		return bits == 0
	case 1:
		return bits > 0 && bits <= most && standins[bits] != 0
	}
	return bits >= 5*n && bits <= most*n
}

// Fill overwrites text by stand-ins whose codes take as many bits together. They depend on nothing but the two lengths.
// It reports false, and leaves text as it is, if there are none: in a text of nearly nothing but control characters.
func Fill(text []byte) bool {
	bits := 0
	for _, c := range text {
		bits += int(lengths[c])
	}
	most := mostPrintable
	if !feasible(len(text), bits, most) {
		most = mostOther
		if !feasible(len(text), bits, most) {
			return false
		}
	}
	for i := range text {
		length := 8 // '*' as long as it fits
		if left := len(text) - i - 1; !feasible(left, bits-length, most) {
			for length = most; standins[length] == 0 || !feasible(left, bits-length, most); length-- {
			}
		}
		text[i] = standins[length]
		bits -= length
	}
	return true
}
