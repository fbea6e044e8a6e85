package decode

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Name is an attribute's name, registered once by [Attribute].
type Name uint16

// names are all that were registered. Rooms register theirs when the program begins.
var names struct {
	sync.Mutex
	list    []string
	longest atomic.Int32
}

// Attribute registers the name of an attribute, as the OpenTelemetry semantic conventions spell it, and gives its
// number. The same name gives the same number. Rooms call it for package variables; the numbers are of this process
// only.
func Attribute(name string) Name {
	names.Lock()
	defer names.Unlock()
	if i := slices.Index(names.list, name); i >= 0 {
		return Name(i)
	}
	if len(names.list) == maxNames {
		panic("too many names of attributes")
	}
	names.list = append(names.list, name)
	names.longest.Store(max(names.longest.Load(), int32(len(name))))
	return Name(len(names.list) - 1)
}

// known gives the number of a name, if it was registered.
func known(name string) (Name, bool) {
	names.Lock()
	defer names.Unlock()
	i := slices.Index(names.list, name)
	return Name(max(i, 0)), i >= 0
}

// String gives the name.
func (n Name) String() string {
	names.Lock()
	defer names.Unlock()
	if int(n) >= len(names.list) {
		return ""
	}
	return names.list[n]
}

// Family says which metrics count an exchange; the numbers are those of the published enumeration.
type Family = millracev1.Family

// Families.
const (
	HTTP      = millracev1.Family_FAMILY_HTTP
	RPC       = millracev1.Family_FAMILY_RPC
	Database  = millracev1.Family_FAMILY_DATABASE
	Messaging = millracev1.Family_FAMILY_MESSAGING
	DNS       = millracev1.Family_FAMILY_DNS
	TLS       = millracev1.Family_FAMILY_TLS
)

// Kinds of spans that the side of the exchange does not tell.
const (
	Producer = millracev1.SpanKind_SPAN_KIND_PRODUCER
	Consumer = millracev1.SpanKind_SPAN_KIND_CONSUMER
)

// Bounds of what an exchange says. What is longer is cut, texts at a character.
const (
	MaxText       = 8 << 10  // bytes of one text
	MaxAttributes = 32 << 10 // bytes of all attributes
)

// Attributes are what a protocol adds to the span of an exchange: names and values in the order in which they were set.
// A name that is set twice counts twice; parsers set each once. The zero value is empty.
//
// They are kept as they are published, as fields of an Exchange, so that writing them is copying them. Only the numbers
// of names, which are of this process, become those of a message: see [Renumber].
type Attributes struct {
	b     []byte
	count int
}

// Parts of an attribute: its tag in Exchange, and the tags of what is in it (proto/millrace/v1/exchange.proto). Every
// number of a name takes two bytes, though a smaller one would fit into one, so that another can take its place.
const (
	tagAttribute0, tagAttribute1 byte = 40<<3&0x7f | 2 | 0x80, 40 << 3 >> 7

	tagName, tagNumber, tagYes   byte = 1 << 3, 3 << 3, 5 << 3       // varints
	tagReal                      byte = 4<<3 | 1                     // eight bytes
	tagText, tagTexts, tagInList byte = 2<<3 | 2, 6<<3 | 2, 1<<3 | 2 // with a length

	nameSize = 3       // bytes of a name's number with its tag
	maxNames = 1 << 14 // what two bytes of a varint hold
)

// begin writes the head of an attribute whose value takes size bytes with its tag. It reports whether there is room.
func (a *Attributes) begin(n Name, size int) bool {
	if len(a.b)+size > MaxAttributes {
		return false
	}
	a.count++
	a.b = append(a.b, tagAttribute0, tagAttribute1)
	a.b = protowire.AppendVarint(a.b, uint64(nameSize+size))
	a.b = append(a.b, tagName, byte(n)|0x80, byte(n>>7))
	return true
}

// Text adds a text; an empty one is left out. b is copied. Bytes that are no UTF-8 become U+FFFD.
func (a *Attributes) Text(n Name, b []byte) {
	if !a.shortText(n, b) {
		addText(a, n, b)
	}
}

// Once is Text unless there is an attribute of that name.
func (a *Attributes) Once(n Name, b []byte) {
	if !a.Has(n) {
		a.Text(n, b)
	}
}

// String is Text for strings.
func (a *Attributes) String(n Name, s string) { addText(a, n, s) }

// maxShort is the longest text whose attribute has its lengths in single bytes.
const maxShort = 0x7f - nameSize - 2

// shortText adds what most texts are: a few plain characters. It reports whether b is that, and there is room.
func (a *Attributes) shortText(n Name, b []byte) bool {
	if len(b) == 0 || len(b) > maxShort || len(a.b) > MaxAttributes-0x80 || !isASCII(b) {
		return false
	}
	size := byte(len(b))
	a.b = append(a.b, tagAttribute0, tagAttribute1, nameSize+2+size, tagName, byte(n)|0x80, byte(n>>7), tagText, size)
	a.b = append(a.b, b...)
	a.count++
	return true
}

func isASCII(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Joined is Text of the parts of b behind each other.
func (a *Attributes) Joined(n Name, parts ...[]byte) {
	start, at := len(a.b), len(a.b)+8
	a.b = append(a.b, tagAttribute0, tagAttribute1, 0, tagName, byte(n)|0x80, byte(n>>7), tagText, 0)
	for _, p := range parts {
		a.b = append(a.b, p...)
	}
	text := a.b[at:]
	if size := len(text); size > 0 && size <= maxShort && at+size <= MaxAttributes && isASCII(text) {
		a.b[start+2], a.b[start+7] = nameSize+2+byte(size), byte(size)
		a.count++
		return
	}
	whole := bytes.Clone(text)
	a.b = a.b[:start]
	addText(a, n, whole)
}

// Add adds all of from, as far as there is room. What several exchanges say alike is written once, and added to each.
func (a *Attributes) Add(from *Attributes) {
	if len(a.b)+len(from.b) > MaxAttributes {
		return
	}
	a.b, a.count = append(a.b, from.b...), a.count+from.count
}

// Drop takes out all attributes of a name.
func (a *Attributes) Drop(n Name) { a.dropBefore(n, len(a.b)) }

// dropBefore is Drop for those that begin before a position. It gives how many bytes went.
func (a *Attributes) dropBefore(n Name, end int) (went int) {
	kept := a.b[:0]
	for b := a.b; len(b) > 0; {
		body, rest := next(b)
		if body == nil {
			break
		}
		if whole := b[:len(b)-len(rest)]; nameIn(body) == n && len(a.b)-len(b) < end {
			a.count--
		} else {
			kept = append(kept, whole...)
		}
		b = rest
	}
	went = len(a.b) - len(kept)
	a.b = kept
	return went
}

// settle drops what stands before a position and is there again behind it.
func (a *Attributes) settle(from int) {
	for at := from; at < len(a.b); {
		body, rest := next(a.b[at:])
		if body == nil {
			return
		}
		behind := len(rest)
		from -= a.dropBefore(nameIn(body), from)
		at = len(a.b) - behind
	}
}

func addText[T ~string | ~[]byte](a *Attributes, n Name, text T) {
	size, start := Cut(text, MaxText), len(a.b)
	if size == 0 || !a.begin(n, 1+protowire.SizeBytes(size)) {
		return
	}
	a.b = append(a.b, tagText)
	a.b = protowire.AppendVarint(a.b, uint64(size))
	at := len(a.b)
	a.b = append(a.b, text[:size]...)
	if !utf8.Valid(a.b[at:]) {
		valid := bytes.ToValidUTF8(a.b[at:], []byte("\uFFFD"))
		a.b, a.count = a.b[:start], a.count-1
		addText(a, n, valid)
	}
}

// Cut gives the length of the longest beginning of text that is at most limit bytes and does not end within a character
// of UTF-8.
func Cut[T ~string | ~[]byte](text T, limit int) int {
	if len(text) <= limit {
		return len(text)
	}
	n := limit
	for n > 0 && n > limit-4 && text[n]&0xc0 == 0x80 {
		n--
	}
	return n
}

// Number adds a number.
func (a *Attributes) Number(n Name, v int64) {
	zigzag := protowire.EncodeZigZag(v)
	if a.begin(n, 1+protowire.SizeVarint(zigzag)) {
		a.b = protowire.AppendVarint(append(a.b, tagNumber), zigzag)
	}
}

// Real adds a floating-point number.
func (a *Attributes) Real(n Name, v float64) {
	if a.begin(n, 1+8) {
		a.b = protowire.AppendFixed64(append(a.b, tagReal), math.Float64bits(v))
	}
}

// Yes adds a boolean that is true.
func (a *Attributes) Yes(n Name) {
	if a.begin(n, 2) {
		a.b = append(a.b, tagYes, 1)
	}
}

// Texts adds a list; an empty one is left out.
func (a *Attributes) Texts(n Name, texts ...string) {
	valid := make([]string, len(texts))
	size := 0
	for i, t := range texts {
		if t = t[:Cut(t, MaxText)]; !utf8.ValidString(t) {
			t = strings.ToValidUTF8(t, "\uFFFD")
			t = t[:Cut(t, MaxText)]
		}
		valid[i] = t
		size += 1 + protowire.SizeBytes(len(t))
	}
	if len(texts) == 0 || !a.begin(n, 1+protowire.SizeBytes(size)) {
		return
	}
	a.b = protowire.AppendVarint(append(a.b, tagTexts), uint64(size))
	for _, t := range valid {
		a.b = protowire.AppendString(append(a.b, tagInList), t)
	}
}

// Len is how many bytes the attributes take.
func (a *Attributes) Len() int { return len(a.b) }

// Has reports whether there is an attribute of a name.
func (a *Attributes) Has(n Name) bool {
	for b := a.b; len(b) > 0; {
		var body []byte
		if body, b = next(b); body != nil && nameIn(body) == n {
			return true
		}
	}
	return false
}

// Encoded gives the attributes as fields of a published Exchange, with the numbers that names have in this process. The
// bytes are a's own, valid until it changes.
func (a *Attributes) Encoded() []byte { return a.b }
