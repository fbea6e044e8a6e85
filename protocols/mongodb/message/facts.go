package message

import (
	"encoding/binary"
	"math"
)

// text is what a value that is kept is.
type text uint8

const (
	fullName text = iota
	collection
	database
	codeName
	okValue
	replyCode
	errorCode
	lastText
)

// Facts are what a message says of a command. The slices are reused for the next message.
type Facts struct {
	// Command is its name; empty: not known.
	Command []byte
	// Collection and Database are the names that an OP_MSG has; FullName is "database.collection" of legacy messages.
	Collection, Database, FullName []byte
	// Batch is how many documents or operations a command has, 0 if it is none that has several.
	Batch int
	// Returned is how many documents a reply has; -1: it has none, or how many is not known.
	Returned int
	// Code is that of the error, CodeName its name.
	Code     int64
	CodeName []byte
	// Failed says that the command failed, WriteError that one of its writes did.
	Failed, WriteError bool
	// MoreToCome is the flag of OP_MSG: of a request that it gets no reply, of a reply that another follows.
	MoreToCome bool
	// Compressed says that nothing else is known of the message.
	Compressed bool

	// Uncounted: not all of the documents of a batch were seen.
	Uncounted bool

	number  [8]byte
	size    int
	hasCode bool
}

func (f *Facts) clear() {
	*f = Facts{
		Command: f.Command[:0], Collection: f.Collection[:0], Database: f.Database[:0], FullName: f.FullName[:0],
		CodeName: f.CodeName[:0], Returned: -1,
	}
}

// target gives where a text goes, nil for numbers.
func (f *Facts) target(what text) *[]byte {
	switch what {
	case fullName:
		return &f.FullName
	case collection:
		return &f.Collection
	case database:
		return &f.Database
	case codeName:
		return &f.CodeName
	default:
		return nil
	}
}

func (f *Facts) start(what text) {
	f.size = 0
	if t := f.target(what); t != nil {
		*t = (*t)[:0]
	}
}

// add takes bytes of a value.
func (f *Facts) add(what text, b []byte) {
	if t := f.target(what); t != nil {
		*t = append(*t, b[:min(len(b), maxText-len(*t))]...)
		return
	}
	f.size += copy(f.number[f.size:], b)
}

// forget takes back a text of which not all is there.
func (f *Facts) forget(what text) {
	if t := f.target(what); t != nil {
		*t = (*t)[:0]
	}
}

// done ends a value of a type.
func (f *Facts) done(what text, kind byte) {
	if t := f.target(what); t != nil {
		if n := len(*t); n > 0 && (*t)[n-1] == 0 {
			*t = (*t)[:n-1]
		}
		return
	}
	clear(f.number[f.size:])
	n := int64(binary.LittleEndian.Uint64(f.number[:]))
	switch kind {
	case typeInt32:
		n = int64(int32(n))
	case typeDouble:
		n = int64(max(-1<<53, min(1<<53, math.Float64frombits(uint64(n)))))
	}
	switch {
	case what == okValue:
		f.Failed = f.Failed || n == 0
	case what == replyCode:
		f.Code, f.hasCode = n, true
	case !f.hasCode:
		f.Code, f.hasCode = n, true
	}
}

// HasCode reports whether Code is known.
func (f *Facts) HasCode() bool { return f.hasCode }

// counting says that an array of documents begins.
func (f *Facts) counting(what context, empty bool) {
	if what == inReturned {
		f.Returned = -1
		if empty {
			f.Returned = 0
		}
		return
	}
	f.Uncounted = !empty
}

// counted takes the name of the last element of an array of documents: its index.
func (f *Facts) counted(what context, name []byte) {
	n := 0
	for _, c := range name {
		if c < '0' || c > '9' || n > 1<<26 {
			return
		}
		n = n*10 + int(c-'0')
	}
	switch {
	case len(name) == 0:
	case what == inReturned:
		f.Returned = n + 1
	default:
		f.Batch, f.Uncounted = n+1, false
	}
}

// count adds a document of a sequence.
func (r *Reader) count(n int) {
	if r.Facts != nil {
		r.Facts.Batch += n
	}
}

// uncounted says that not all of the message was read.
func (r *Reader) uncounted() {
	if r.Facts != nil {
		r.Facts.Uncounted = true
	}
}
