// Package excerpt reads of a JSON text what a list of wanted places says, and nothing else. The node keeps with it what
// of a body may leave, and the decoder reads with it what has left: bytes of the text in their order, without those
// that were dropped. A text may come in pieces; a key or a value that is cut by the end of a piece is dropped.
//
// Nothing is checked but what is looked at: a text that is no JSON gives less, never what is not wanted.
package excerpt

// Node is a wanted place of a text: an object, an array or a value. Nodes are constant.
type Node struct {
	// Fields are the wanted members of an object. Keys are kept as they stand.
	Fields map[string]*Node
	// Others are the members of an object whose keys are not wanted, which are not kept.
	Others *Node
	// Items are the elements of an array.
	Items *Node
	// Text says which strings are kept.
	Text Text
	// Literal says that numbers of up to eight digits, true, false and null are kept.
	Literal bool
}

// Text is a kind of strings.
type Text uint8

// Kinds of strings.
const (
	// Dropped strings are not kept.
	Dropped Text = iota
	// Name is a string of letters, digits, '_', '.', '-' and ':', of at most 64 bytes, that does not look like a
	// credential.
	Name
	// Document is a document of GraphQL, of which the types and names of operations are kept.
	Document
)

// Kind says what an Event is.
type Kind uint8

// Kinds of events.
const (
	Open      Kind = iota // an object or an array of a wanted place begins
	Close                 // and ends
	Value                 // a string or literal
	Operation             // an operation of a document: its type is Text, its name Name
)

// Event is something that was read. Text and Name are valid until the function that it is passed to returns.
type Event struct {
	Kind       Kind
	Node       *Node
	Text, Name []byte
}

const maxDepth, maxKept = 12, 4 << 10

// Reader reads one text. It is not safe for concurrent use.
type Reader struct {
	root  *Node
	keep  func(from, to int)
	see   func(Event)
	b     []byte
	stack [maxDepth]frame
	depth int
	skip  int // containers that are open within one that is not wanted
	kept  int
	next  *Node // what the next value is; nil: not wanted
	begun bool
	over  bool // nothing more is looked at

	key      bool // a key comes next
	inString bool
	escaped  bool
	text     Text
	isKey    bool
	from     int // of the string in b; negative: in a piece before

	literal [8]byte
	digits  int
	doc     document
}

type frame struct {
	node  *Node
	array bool
}

// New makes a reader of a text whose root is at a place. keep is told the parts of each piece that are wanted, in
// order; see what they say. Both may be nil.
func New(root *Node, keep func(from, to int), see func(Event)) *Reader {
	return &Reader{root: root, next: root, keep: keep, see: see}
}

// Over reports whether nothing more will be kept.
func (r *Reader) Over() bool { return r.over }

// Read reads a piece.
func (r *Reader) Read(b []byte) {
	r.b = b
	if r.inString {
		r.from = -1
	}
	r.doc.word = -1
	for i := 0; i < len(b) && !r.over; i++ {
		switch {
		case r.inString:
			r.inText(i)
		case r.skip > 0:
			r.skipped(b[i])
		default:
			r.token(i)
		}
	}
	if r.inString && r.text == Document && r.doc.word >= 0 { // a word that is cut
		r.doc.failed = true
	}
	r.b = nil
}

func (r *Reader) take(from, to int) {
	if r.kept += to - from; r.kept > maxKept {
		r.over = true
		return
	}
	if r.keep != nil {
		r.keep(from, to)
	}
}

func (r *Reader) tell(e Event) {
	if r.see != nil {
		r.see(e)
	}
}

func (r *Reader) skipped(c byte) {
	switch c {
	case '"':
		r.begin(-1, Dropped, false)
	case '{', '[':
		r.skip++
	case '}', ']':
		r.skip--
	}
}

// token reads a byte outside of strings.
func (r *Reader) token(i int) {
	c := r.b[i]
	switch c {
	case ' ', '\t', '\r', '\n':
	case '{', '[':
		r.open(i, c == '[')
	case '}', ']':
		r.endLiteral()
		if r.depth == 0 || r.stack[r.depth-1].array != (c == ']') {
			r.over = true
			return
		}
		r.depth--
		r.take(i, i+1)
		r.tell(Event{Kind: Close, Node: r.stack[r.depth].node})
		r.next, r.key = nil, false
		r.over = r.over || r.depth == 0
	case ',':
		r.endLiteral()
		if r.depth == 0 {
			r.over = true
			return
		}
		r.take(i, i+1)
		top := &r.stack[r.depth-1]
		if r.key, r.next = !top.array, nil; top.array {
			r.next = top.node.Items
		}
	case ':':
		r.take(i, i+1)
		r.key = false
	case '"':
		kind := Dropped
		if r.next != nil {
			kind = r.next.Text
		}
		r.begin(i, kind, r.key)
	default:
		if r.over = r.depth == 0; !r.over && r.next != nil && r.next.Literal && r.digits < len(r.literal) {
			r.literal[r.digits] = c
			r.digits++
			r.take(i, i+1)
		}
	}
}

// open begins an object or an array.
func (r *Reader) open(i int, array bool) {
	if r.depth == 0 && r.begun || r.depth == maxDepth {
		r.over = true
		return
	}
	r.begun = true
	if r.next == nil || array && r.next.Items == nil || !array && r.next.Fields == nil && r.next.Others == nil {
		r.next, r.skip = nil, 1
		return
	}
	r.take(i, i+1)
	r.stack[r.depth] = frame{r.next, array}
	r.depth++
	r.tell(Event{Kind: Open, Node: r.next})
	if r.key = !array; array {
		r.next = r.next.Items
	} else {
		r.next = nil
	}
}

func (r *Reader) endLiteral() {
	if r.digits > 0 {
		r.tell(Event{Kind: Value, Node: r.next, Text: r.literal[:r.digits]})
		r.digits = 0
	}
}

// begin begins a string.
func (r *Reader) begin(i int, kind Text, key bool) {
	r.inString, r.escaped, r.text, r.isKey, r.from = true, false, kind, key, i
	if key {
		r.text = Dropped
	}
	if r.text == Document {
		r.doc = document{word: -1}
		r.take(i, i+1)
	}
}

// inText reads a byte of a string.
func (r *Reader) inText(i int) {
	c := r.b[i]
	switch {
	case r.escaped:
		r.escaped = false
		if r.text == Document {
			r.doc.escape(r, c)
		}
	case c == '\\':
		if r.escaped = true; r.text == Document {
			r.doc.endWord(r, i)
		}
	case c == '"':
		r.inString = false
		r.endText(i)
	case r.text == Document:
		r.doc.read(r, c, i)
	}
}

// endText ends a string whose last quote is at i.
func (r *Reader) endText(i int) {
	switch {
	case r.isKey:
		top := r.stack[r.depth-1].node
		if r.next = top.Others; r.from < 0 {
			return
		}
		if node, ok := top.Fields[string(r.b[r.from+1:i])]; ok {
			r.next = node
			r.take(r.from, i+1)
		}
	case r.text == Document:
		r.doc.endWord(r, i)
		r.take(i, i+1)
	case r.text == Name && r.from >= 0:
		if text := r.b[r.from+1 : i]; isName(text) {
			r.take(r.from, i+1)
			r.tell(Event{Kind: Value, Node: r.next, Text: text})
		}
	}
}
