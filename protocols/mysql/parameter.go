package mysql

// Parameters reads the attributes of a query, which come before its text where both ends have the capability
// (https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query.html): their number, that of sets of them,
// which is 1, which are NULL, types and names, values. It is told byte by byte. The zero value is ready.
type Parameters struct {
	place  parameterPlace
	number lenenc
	count  uint8
	index  uint8 // of the attribute, or of the byte within what is read
	nulls  [maxParameters / 8]byte
	types  [maxParameters]byte
	// traced is 1 + the index of the attribute that is named traceparent; name is how much of that name has come.
	traced, name uint8
	left         uint64
	parent       [parentBytes]byte
	read         uint8 // bytes of parent
}

// maxParameters is how many attributes are followed; MySQL's server takes 64 by default.
const maxParameters, parentBytes = 64, 55

// parentName is the attribute by which connectors of MySQL hand on the context of a trace.
const parentName = "traceparent"

type parameterPlace uint8

const (
	atCount parameterPlace = iota
	atSets
	atNulls
	atBound
	atType
	atNameLength
	atName
	atValueLength
	atValue
	parametersDone
	parametersFailed
)

// Use says what of a byte of attributes leaves the node.
type Use uint8

// Uses.
const (
	Keeps  Use = iota // it says how long something is
	Blanks            // it is of a name or a value
)

// Done reports whether the text comes next.
func (p *Parameters) Done() bool { return p.place == parametersDone }

// Failed reports whether the bytes are no attributes, or too many.
func (p *Parameters) Failed() bool { return p.place == parametersFailed }

// None reports whether a query has no attributes, behind the first byte.
func (p *Parameters) None() bool { return p.count == 0 }

// Traceparent gives what the attribute of that name says; nil if there is none. It is not checked.
func (p *Parameters) Traceparent() []byte {
	if p.read < parentBytes {
		return nil
	}
	return p.parent[:]
}

// Read reads a byte. It is not called when Done or Failed is true.
func (p *Parameters) Read(c byte) Use {
	switch p.place {
	case atCount, atSets, atNameLength, atValueLength:
		if p.number.add(c) {
			p.counted(p.number.value)
			p.number = lenenc{}
		} else if p.number.failed {
			p.place = parametersFailed
		}
	case atNulls:
		p.nulls[p.index] = c
		if p.index++; p.index == (p.count+7)/8 {
			p.place = atBound
		}
	case atBound:
		if p.place, p.index = atType, 0; c != 1 {
			p.place = parametersFailed
		}
	case atType:
		if p.left == 0 {
			p.types[p.index], p.left = c, 1
		} else {
			p.place, p.left = atNameLength, 0
		}
	case atName:
		return p.named(c)
	case atValue:
		return p.valued(c)
	default:
	}
	return Keeps
}

// counted takes a number.
func (p *Parameters) counted(n uint64) {
	switch p.place {
	case atCount:
		if p.place, p.count = atSets, uint8(min(n, maxParameters)); n > maxParameters {
			p.place = parametersFailed
		}
	case atSets:
		switch p.place, p.index = atNulls, 0; {
		case n != 1:
			p.place = parametersFailed
		case p.count == 0:
			p.place = parametersDone
		}
	case atNameLength:
		if p.left, p.name, p.place = n, 0, atName; n == 0 {
			p.endName()
		}
	default:
		if p.left, p.place = n, atValue; n == 0 {
			p.endValue()
		}
	}
}

// named reads a byte of a name.
func (p *Parameters) named(c byte) Use {
	use := Blanks
	if int(p.name) < len(parentName) && c == parentName[p.name] {
		p.name++
		use = Keeps
	} else {
		p.name = uint8(len(parentName)) + 1
	}
	if p.left--; p.left == 0 {
		if int(p.name) == len(parentName) {
			p.traced = p.index + 1
		}
		p.endName()
	}
	return use
}

func (p *Parameters) endName() {
	p.place = atType
	if p.index++; p.index == p.count {
		p.index = 0
		p.beginValue()
	}
}

// beginValue goes to the next attribute that has a value.
func (p *Parameters) beginValue() {
	for ; p.index < p.count; p.index++ {
		if p.nulls[p.index/8]>>(p.index%8)&1 != 0 {
			continue
		}
		switch p.types[p.index] {
		case 0x06: // NULL
			continue
		case 0x01, 0xf4: // TINY, BOOL
			p.left = 1
		case 0x02, 0x0d: // SHORT, YEAR
			p.left = 2
		case 0x03, 0x04, 0x09: // LONG, FLOAT, INT24
			p.left = 4
		case 0x05, 0x08: // DOUBLE, LONGLONG
			p.left = 8
		case 0x00, 0x0f, 0x10, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff, // texts and bytes
			0x07, 0x0a, 0x0b, 0x0c: // TIMESTAMP, DATE, TIME, DATETIME, whose length is one byte
			p.place = atValueLength
			return
		default:
			p.place = parametersFailed
			return
		}
		p.place = atValue
		return
	}
	p.place = parametersDone
}

// valued reads a byte of a value.
func (p *Parameters) valued(c byte) Use {
	use := Blanks
	if p.traced == p.index+1 && p.read < parentBytes && (c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '-') {
		p.parent[p.read] = c
		p.read++
		use = Keeps
	} else if p.traced == p.index+1 {
		p.traced, p.read = 0, 0
	}
	if p.left--; p.left == 0 {
		p.endValue()
	}
	return use
}

func (p *Parameters) endValue() {
	p.index++
	p.beginValue()
}

// lenenc reads a number with its length in front.
type lenenc struct {
	value        uint64
	begun        bool
	failed       bool
	shift, bytes uint8
}

// add reads a byte. It reports whether the number is complete.
func (n *lenenc) add(c byte) bool {
	switch {
	case n.begun:
		n.value |= uint64(c) << n.shift
		n.shift += 8
		n.bytes--
		return n.bytes == 0
	case c < 0xfb:
		n.value = uint64(c)
		return true
	}
	n.begun = true
	switch c {
	case 0xfc:
		n.bytes = 2
	case 0xfd:
		n.bytes = 3
	case 0xfe:
		n.bytes = 8
	default:
		n.failed = true
	}
	return false
}
