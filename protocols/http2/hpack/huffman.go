package hpack

// lengths holds the number of bits of the code of each byte, RFC 7541 appendix B. The code is canonical: codes of one
// length follow each other in the order of the bytes, so the lengths say all.
var lengths = [256]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
}

const (
	maxBits = 30 // of the longest code
	// indexBits is how many bits of a code are looked up at once. All printable characters that are not rare fit.
	indexBits = 10
)

var (
	codes [256]uint32
	// index gives for the next bits the byte whose code they begin with, and in the upper half the length of that code;
	// 0 if it is longer.
	index [1 << indexBits]uint16
	// first is the first code of a length, offset the place of its byte in sorted, and count how many there are.
	first, offset, count [maxBits + 1]uint32
	sorted               [256]uint8
)

func init() {
	code, n := uint32(0), uint32(0)
	for length := uint8(1); length <= maxBits; length++ {
		code <<= 1
		first[length], offset[length] = code, n
		for c, l := range lengths {
			if l != length {
				continue
			}
			codes[c], sorted[n] = code, uint8(c)
			if length <= indexBits {
				low := code << (indexBits - length)
				for i := range uint32(1) << (indexBits - length) {
					index[low+i] = uint16(length)<<8 | uint16(c)
				}
			}
			code++
			n++
		}
		count[length] = n - offset[length]
	}
}

// Bits gives the number of bits of the code of c, 5 to 30.
func Bits(c byte) int { return int(lengths[c]) }

// next reads the code that the n bits at the low end of acc begin with. length is 0 if it is longer than that, and
// above [maxBits] if no byte has such a code.
func next(acc uint64, n uint) (c byte, length uint) {
	window := acc << (64 - n)
	if e := index[window>>(64-indexBits)]; e != 0 {
		if length = uint(e >> 8); length > n {
			length = 0
		}
		return byte(e), length
	}
	for length = indexBits + 1; length <= min(n, maxBits); length++ {
		if i := uint32(window>>(64-length)) - first[length]; i < count[length] {
			return sorted[offset[length]+i], length
		}
	}
	if n >= maxBits {
		return 0, maxBits + 1
	}
	return 0, 0
}

// Decode appends to dst the text whose Huffman code is src. It reports false if src is no such code, or is not padded
// as section 5.2 demands.
func Decode(dst, src []byte) ([]byte, bool) {
	var p Partial
	dst, ok := p.Decode(dst, src)
	return dst, ok && p.Ends()
}

// Partial is the beginning of a code whose rest has not come: its bits, at the low end. The zero value is none.
type Partial struct {
	Code uint32
	Bits uint8
}

// Decode appends to dst the text whose Huffman code is p and then src. What is left becomes p.
func (p *Partial) Decode(dst, src []byte) ([]byte, bool) {
	acc, n := uint64(p.Code), uint(p.Bits)
	for {
		for n <= 56 && len(src) > 0 {
			acc, n = acc<<8|uint64(src[0]), n+8
			src = src[1:]
		}
		for n > 0 {
			c, length := next(acc, n)
			if length > maxBits {
				return dst, false
			}
			if length == 0 {
				break
			}
			dst = append(dst, c)
			n -= length
			if n < maxBits && len(src) > 0 {
				break
			}
		}
		if len(src) == 0 {
			p.Code, p.Bits = uint32(acc&(1<<n-1)), uint8(n)
			return dst, n < maxBits
		}
	}
}

// Ends reports whether p may be what a text ends with: up to 7 bits, all set.
func (p *Partial) Ends() bool { return p.Bits < 8 && p.Code == 1<<p.Bits-1 }

// Hidden gives the beginning of another code, which itself begins with begun, that says of p no more than how long its
// code may become. If there is none it gives a partial code without bits.
func (p *Partial) Hidden(begun Partial) Partial {
	if p.Bits < begun.Bits {
		return Partial{}
	}
	want := p.possible()
	best, found := Partial{}, false
	try := func(code uint32, length uint) {
		other := Partial{Code: code >> (length - uint(p.Bits)), Bits: p.Bits}
		if other.Code>>(p.Bits-begun.Bits) == begun.Code && want&^other.possible() == 0 && (!found || other.Code < best.Code) {
			best, found = other, true
		}
	}
	// Codes of several lengths begin alike only where those of one length end and those of the next begin.
	for length := max(uint(p.Bits), 5); length <= maxBits; length++ {
		if count[length] > 0 {
			try(first[length], length)
			try(first[length]+count[length]-1, length)
		}
	}
	return best
}

// possible gives the lengths that the code that begins with p may have, a bit each.
func (p *Partial) possible() (set uint32) {
	for length := max(uint(p.Bits), 5); length <= maxBits; length++ {
		if count[length] == 0 {
			continue
		}
		low := p.Code << (length - uint(p.Bits))
		high := low + 1<<(length-uint(p.Bits)) - 1
		if low < first[length]+count[length] && high >= first[length] {
			set |= 1 << length
		}
	}
	return set
}

// Completed gives a byte whose code begins with p and is of a length. There is one if [Partial.Hidden] gave p for a
// code of that length.
func (p *Partial) Completed(length int) (c byte, ok bool) {
	if length < int(p.Bits) || length > maxBits || count[length] == 0 {
		return 0, false
	}
	i := max(p.Code<<(length-int(p.Bits)), first[length]) - first[length]
	if i >= count[length] {
		return 0, false
	}
	c = sorted[offset[length]+i]
	return c, codes[c]>>(length-int(p.Bits)) == p.Code
}

// Encode appends to dst the Huffman code of text, of which the bits of begun were written before, and end behind it. It
// gives dst without the bits that do not fill a byte; there are none if text and end take whole bytes.
func Encode(dst []byte, begun Partial, text []byte, end Partial) []byte {
	acc, n := uint64(0), uint(0)
	skip := uint(begun.Bits)
	for _, c := range text {
		length := uint(lengths[c]) - skip
		acc, n = acc<<length|uint64(codes[c])&(1<<length-1), n+length
		skip = 0
		for n >= 8 {
			n -= 8
			dst = append(dst, byte(acc>>n))
		}
	}
	if len(text) == 0 { // end begins with what was written
		end = Partial{end.Code & (1<<(end.Bits-begun.Bits) - 1), end.Bits - begun.Bits}
	}
	acc, n = acc<<end.Bits|uint64(end.Code), n+uint(end.Bits)
	for n >= 8 {
		n -= 8
		dst = append(dst, byte(acc>>n))
	}
	return dst
}
