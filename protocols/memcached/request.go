package memcached

// MaxKey is the longest key in bytes.
const MaxKey = 250

const (
	// MaxValue is the longest value in bytes. Servers can be told to take up to 1 GiB.
	MaxValue  = 1 << 30
	maxDigits = 20
	maxToken  = 32 // of flag O
)

// Kind is what a piece of a line is. Pieces of the kinds below Hidden may be shown.
type Kind uint8

// Kinds.
const (
	// Space is what separates words: spaces and carriage returns.
	Space Kind = iota
	// Name is the first word, if it is one of those that are known.
	Name
	// Key is a key.
	Key
	// Option is a number, noreply, or a flag of a meta command.
	Option
	// End is the line feed that ends the line.
	End
	// Hidden may not be shown.
	Hidden
)

// Request reads the line of a command in pieces of any size. The zero value is at the beginning of a line.
type Request struct {
	// Command is known from the piece on that follows its name.
	Command *Command
	// Value: a value of Length bytes follows the line, and CR LF. Both are valid at End.
	Value  bool
	Length uint64
	// NoReply: the command has no answer, unless the server could not read the line.
	NoReply bool
	// Quiet: a meta command is answered only if it did not do what most do.
	Quiet bool
	// Bad: the line is not what the command's syntax demands, so that whether a value follows is not known. Valid at
	// End.
	Bad bool
	// Keys is the number of keys, Words that of all words with the name.
	Keys, Words int
	// Opaque is a hash of the token of flag O, 0 if there is none.
	Opaque uint32

	name   [maxName]byte
	at     int // bytes of the word that were read
	digits uint64
	number bool // the word is a number so far
	match  int8 // bytes of the word that are those of noreply, -1: another word
	flag   byte // first byte of a flag of a meta command
}

const noReply = "noreply"

// Next reads the piece with which b begins, which is not empty. It gives the length of the piece and what it is. Behind
// a piece of kind End, set r to its zero value for the next line.
func (r *Request) Next(b []byte) (n int, k Kind) {
	if c := b[0]; c == ' ' || c == '\r' || c == '\n' {
		if r.at > 0 {
			r.endWord()
		}
		if c == '\n' {
			r.end()
			return 1, End
		}
		n = 1
		for n < len(b) && (b[n] == ' ' || b[n] == '\r') {
			n++
		}
		return n, Space
	}
	for n < len(b) && b[n] != ' ' && b[n] != '\r' && b[n] != '\n' {
		n++
	}
	return r.word(b[:n], n == len(b))
}

// word reads a word or a piece of one. cut says that the word may go on.
func (r *Request) word(b []byte, cut bool) (n int, k Kind) {
	first := r.at == 0
	if first {
		r.digits, r.number, r.match = 0, true, 0
		r.Words++
	}
	at := r.at
	r.at += len(b)
	if r.Words == 1 {
		return len(b), r.nameWord(b, at, cut)
	}
	if r.isKey() {
		if first {
			r.Keys++
		}
		if r.at > MaxKey {
			r.Bad = true
			return len(b), Hidden
		}
		return len(b), Key
	}
	if first && r.isFlags() {
		r.flag, r.at = b[0], 1 // the argument of the flag is a piece of its own
		return 1, r.flagKind()
	}
	if r.isFlags() {
		return len(b), r.flagArgument(b, at)
	}
	return len(b), r.option(b, at)
}

func (r *Request) nameWord(b []byte, at int, cut bool) Kind {
	if at+len(b) > maxName {
		return Hidden
	}
	copy(r.name[at:], b)
	name := r.name[:at+len(b)]
	if cut && begins(name) || !cut && Lookup(name).Form != Unknown {
		return Name
	}
	return Hidden
}

// isKey reports whether the word at the position is a key.
func (r *Request) isKey() bool {
	switch r.Command.Form {
	case Keys:
		return true
	case TouchKeys:
		return r.Words > 2
	case Store, Swap, Change, Meta, MetaStore:
		return r.Words == 2
	default:
		return false
	}
}

// isFlags reports whether the word at the position is a flag of a meta command.
func (r *Request) isFlags() bool {
	return r.Command.Form == Meta && r.Words > 2 || r.Command.Form == MetaStore && r.Words > 3
}

// flagKind says whether the flag may be shown.
func (r *Request) flagKind() Kind {
	if r.flag < '0' || r.flag > 'z' {
		return Hidden
	}
	if r.flag == 'q' {
		r.Quiet = true
	}
	return Option
}

// flagArgument reads what follows the letter of a flag.
func (r *Request) flagArgument(b []byte, at int) Kind {
	switch r.flag {
	case 'O':
		if r.at > maxToken+1 {
			return Hidden
		}
		if at == 1 {
			r.Opaque = hashSeed
		}
		r.Opaque = hash(r.Opaque, b)
		return Option
	case 'M': // a mode: a letter or a word
		if r.at <= len("prepend")+1 && isLetters(b) {
			return Option
		}
	case 'C', 'D', 'E', 'F', 'I', 'J', 'N', 'R', 'S', 'T':
		if r.at <= maxDigits+1 && isDigits(b, at == 1) {
			return Option
		}
	}
	return Hidden
}

const hashSeed = 2166136261

// hash adds b to a hash of 32 bits (FNV-1a). It is never 0.
func hash(h uint32, b []byte) uint32 {
	for _, c := range b {
		h = (h ^ uint32(c)) * 16777619
	}
	return max(h, 1)
}

// option reads a number or noreply.
func (r *Request) option(b []byte, at int) Kind {
	if at == int(r.match) && r.at <= len(noReply) && string(b) == noReply[at:r.at] && r.Command.Form != MetaStore {
		r.match = int8(r.at)
		r.number = false
		return Option
	}
	r.match = -1
	if !r.number || r.at > maxDigits || !isDigits(b, at == 0) {
		r.number = false
		return Hidden
	}
	for _, c := range b {
		if c != '-' {
			r.digits = r.digits*10 + uint64(c-'0')
		}
	}
	if b[0] == '-' {
		r.digits = MaxValue + 1
	}
	return Option
}

func isDigits(b []byte, first bool) bool {
	for i, c := range b {
		if (c < '0' || c > '9') && (c != '-' || i > 0 || !first) {
			return false
		}
	}
	return true
}

func isLetters(b []byte) bool {
	for _, c := range b {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}

// endWord acts on the word that ends before the position.
func (r *Request) endWord() {
	size := r.at
	r.at = 0
	if r.Words == 1 {
		r.Command = &noCommand
		if size <= maxName {
			r.Command = Lookup(r.name[:size])
		}
		return
	}
	r.NoReply = r.match == int8(len(noReply)) && r.takesNoReply()
	length := 0
	switch r.Command.Form {
	case Store, Swap:
		if r.Words <= 5 && r.Words > 2 && !r.number {
			r.Bad = true
		}
		length = 5
	case MetaStore:
		length = 3
	default:
		return
	}
	if r.Words != length {
		return
	}
	if !r.number || r.digits > MaxValue {
		r.Bad = true
		return
	}
	r.Length = r.digits
}

// takesNoReply reports whether the word at the position may be noreply.
func (r *Request) takesNoReply() bool {
	switch r.Command.Form {
	case Store, Swap, Change:
		return r.Words > 2
	case Admin:
		return true
	default:
		return false
	}
}

// end acts on the end of the line.
func (r *Request) end() {
	if r.Command == nil {
		r.Command = &noCommand
	}
	least := 0
	switch r.Command.Form {
	case Store:
		least = 5
	case Swap:
		least = 6
	case MetaStore:
		least = 3
	default:
		r.Bad = false // of other lines the end is the end
	}
	if r.Value = least > 0 && r.Words >= least && !r.Bad; !r.Value {
		r.Length = 0
	}
}
