package attribute

import (
	"encoding/binary"
	"sync"
	"unicode/utf8"

	"millrace.dev/lib/wire"
)

// Name is the name of an attribute.
type Name struct {
	// Number is this process's own for the name, from 1 on; 0 for names that came when there were too many.
	Number uint32
	// Text is UTF-8.
	Text string
	// Key is the text as field 1 of a KeyValue.
	Key []byte
}

// MaxNumber bounds the numbers of names, and so the memory for names that were met: conventions know some hundreds.
const MaxNumber = 4096

// maxText bounds the length of a name.
const maxText = 256

// met are all names with a number.
var met = struct {
	sync.RWMutex
	byText map[string]*Name
}{byText: map[string]*Name{}}

// Named gives the name with a text, the same one for the same text as long as it has a number. It is safe for
// concurrent use.
func Named(text string) *Name { return named([]byte(text)) }

func named(text []byte) *Name {
	met.RLock()
	n := met.byText[string(text)]
	met.RUnlock()
	if n != nil {
		return n
	}
	met.Lock()
	defer met.Unlock()
	if n = met.byText[string(text)]; n != nil {
		return n
	}
	n = &Name{Text: string(text)}
	n.Key = binary.AppendUvarint([]byte{1<<3 | wire.Length}, uint64(len(text)))
	n.Key = append(n.Key, text...)
	if len(met.byText) < MaxNumber {
		n.Number = uint32(len(met.byText)) + 1
		met.byText[n.Text] = n
	}
	return n
}

// Names are those of one message. They are immutable, and shared by the exchanges of the message that are kept. nil is
// a message without names.
type Names struct {
	list []*Name
}

// maxNames bounds the names of one message; attributes with names beyond it are malformed.
const maxNames = 1024

// For gives the names of a message with these texts: n itself if they are its. A text that is no name has its place,
// and whatever refers to it is malformed.
func (n *Names) For(texts [][]byte) *Names {
	texts = texts[:min(len(texts), maxNames)]
	if n.are(texts) {
		return n
	}
	made := &Names{list: make([]*Name, len(texts))}
	for i, text := range texts {
		if isName(text) {
			made.list[i] = named(text)
		}
	}
	return made
}

func isName(text []byte) bool { return len(text) > 0 && len(text) <= maxText && utf8.Valid(text) }

func (n *Names) are(texts [][]byte) bool {
	if n == nil {
		return len(texts) == 0
	}
	if len(n.list) != len(texts) {
		return false
	}
	for i, name := range n.list {
		if name == nil && isName(texts[i]) || name != nil && name.Text != string(texts[i]) {
			return false
		}
	}
	return true
}

// at gives the name with an index; nil if there is none.
func (n *Names) at(index uint64) *Name {
	if n == nil || index >= uint64(len(n.list)) {
		return nil
	}
	return n.list[index]
}

// tagNames is Exchange.names, the names of an exchange that stands alone.
const tagNames = 49<<3 | wire.Length

// AppendTo writes the names that an encoded exchange uses in front of it, so that it can be kept where its message is
// not: what [Names.Cut] takes apart again.
func (n *Names) AppendTo(dst, exchange []byte) []byte {
	if n == nil {
		return append(dst, exchange...)
	}
	var used [maxNames]bool
	last := -1
	var f wire.Field
	for rest := exchange; len(rest) > 0; {
		var ok bool
		if rest, ok = f.Next(rest); !ok {
			break
		}
		if f.ID != fieldAttribute || f.Type != wire.Length {
			continue
		}
		if i, found := indexIn(f.Bytes); found && n.at(i) != nil {
			used[i] = true
			last = max(last, int(i))
		}
	}
	for i := range last + 1 {
		text := ""
		if used[i] {
			text = n.list[i].Text
		}
		dst = binary.AppendUvarint(dst, tagNames)
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return append(dst, exchange...)
}

// Cut takes the names off an encoded exchange that has them in front. Exchanges with the same names share n's.
func (n *Names) Cut(exchange []byte) (names *Names, rest []byte) {
	var texts [][]byte
	var f wire.Field
	for len(exchange) > 0 {
		rest, ok := f.Next(exchange)
		if !ok || f.ID != tagNames>>3 || f.Type != wire.Length {
			break
		}
		texts, exchange = append(texts, f.Bytes), rest
	}
	if len(texts) == 0 {
		return nil, exchange
	}
	return n.For(texts), exchange
}
