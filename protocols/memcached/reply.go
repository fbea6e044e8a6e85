package memcached

// Word is the first word of a line of a server.
type Word uint8

// Words, in the order of words.
const (
	// Other: a word that is not in the table, such as the result of incr or a key of lru_crawler metadump.
	Other Word = iota
	Value
	EndOfItems
	Stored
	NotStored
	Exists
	NotFound
	Deleted
	Touched
	OK
	Reset
	Version
	Stat
	Item
	Prefix
	Error
	ClientError
	ServerError
	Busy
	BadClass
	NoSpare
	NotFull
	Unsafe
	Same
	MetaValue
	MetaHead
	MetaMiss
	MetaNotStored
	MetaExists
	MetaNotFound
	MetaNoopEnd
	MetaDebugLine
)

var words = [...]string{
	"", "VALUE", "END", "STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "RESET", "VERSION", "STAT", "ITEM", "PREFIX",
	"ERROR", "CLIENT_ERROR", "SERVER_ERROR", "BUSY", "BADCLASS", "NOSPARE", "NOTFULL", "UNSAFE", "SAME", "VA", "HD", "EN", "NS", "EX", "NF",
	"MN", "ME",
}

// String gives the word as it stands on the wire.
func (w Word) String() string { return words[w] }

// EndBytes is the size of the line that ends items.
const EndBytes = uint64(len("END\r\n"))

// maxWord is the length of the longest word.
const maxWord = 12

func lookupWord(b []byte) Word {
	for i := 1; i < len(words); i++ {
		if words[i] == string(b) {
			return Word(i)
		}
	}
	return Other
}

func beginsWord(b []byte) bool {
	for _, w := range words {
		if len(w) >= len(b) && w[:len(b)] == string(b) {
			return true
		}
	}
	return false
}

// Reply reads a line of a server in pieces of any size. The zero value is at the beginning of a line.
type Reply struct {
	// Word is known from the piece on that follows it.
	Word Word
	// Length of the value that follows the line, without its CR LF; valid at End of Value and MetaValue.
	Length uint64
	// Bad: the line has no length where there should be one.
	Bad bool
	// Opaque is a hash of the token of flag O, 0 if there is none.
	Opaque uint32

	name   [maxWord]byte
	count  int // words that were begun
	at     int // bytes of the word that were read
	digits uint64
	number bool
	flag   byte
}

// Next reads the piece with which b begins, which is not empty; see [Request.Next].
func (r *Reply) Next(b []byte) (n int, k Kind) {
	if c := b[0]; c == ' ' || c == '\r' || c == '\n' {
		if r.at > 0 {
			r.endWord()
		}
		if c == '\n' {
			if (r.Word == Value && r.count < 4 || r.Word == MetaValue && r.count < 2) && !r.Bad {
				r.Bad = true
			}
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
	first := r.at == 0
	if first {
		r.digits, r.number = 0, true
		r.count++
	}
	at := r.at
	r.at += n
	if r.count == 1 {
		return n, r.nameWord(b[:n], at, n == len(b))
	}
	switch r.Word {
	case Value:
		if r.count == 2 {
			return n, r.key(r.at)
		}
		return n, r.numeral(b[:n])
	case MetaValue:
		if r.count == 2 {
			return n, r.numeral(b[:n])
		}
		return r.flags(b[:n], at, first)
	case MetaHead, MetaMiss, MetaNotStored, MetaExists, MetaNotFound:
		return r.flags(b[:n], at, first)
	case Error, ClientError, ServerError:
		return n, r.message(b[:n], first && n < len(b))
	case Version:
		return n, r.version(b[:n])
	default:
		return n, Hidden
	}
}

func (r *Reply) nameWord(b []byte, at int, cut bool) Kind {
	if at+len(b) > maxWord {
		return Hidden
	}
	copy(r.name[at:], b)
	name := r.name[:at+len(b)]
	if cut && beginsWord(name) || !cut && lookupWord(name) != Other {
		return Name
	}
	return Hidden
}

// HasValue reports whether a value follows the line, of Length bytes and CR LF. It is valid at End.
func (r *Reply) HasValue() bool { return (r.Word == Value || r.Word == MetaValue) && !r.Bad }

func (r *Reply) key(length int) Kind {
	if length > MaxKey {
		return Hidden
	}
	return Key
}

func (r *Reply) numeral(b []byte) Kind {
	if !r.number || r.at > maxDigits || !isDigits(b, false) {
		r.number = false
		return Hidden
	}
	for _, c := range b {
		r.digits = r.digits*10 + uint64(c-'0')
	}
	return Option
}

// flags reads a flag of a meta command's answer: a letter, and behind k a key, behind O a token, else a number.
func (r *Reply) flags(b []byte, at int, first bool) (n int, k Kind) {
	if first {
		r.flag, r.at = b[0], 1
		if isLetters(b[:1]) {
			return 1, Option
		}
		return 1, Hidden
	}
	switch r.flag {
	case 'k':
		return len(b), r.key(r.at - 1)
	case 'O':
		if r.at > maxToken+1 {
			return len(b), Hidden
		}
		if at == 1 {
			r.Opaque = hashSeed
		}
		r.Opaque = hash(r.Opaque, b)
		return len(b), Option
	}
	if r.at <= maxDigits+1 && isDigits(b, at == 1) {
		return len(b), Option
	}
	return len(b), Hidden
}

// message reads a word of an error's text, of which those are shown of which the server's own texts are made.
func (r *Reply) message(b []byte, whole bool) Kind {
	if whole && vocabulary[string(b)] {
		return Option
	}
	return Hidden
}

func (r *Reply) version(b []byte) Kind {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' {
			return Hidden
		}
	}
	return Option
}

func (r *Reply) endWord() {
	size := r.at
	r.at = 0
	switch {
	case r.count == 1:
		if size <= maxWord {
			r.Word = lookupWord(r.name[:size])
		}
	case r.Word == Value && r.count == 4, r.Word == MetaValue && r.count == 2:
		r.Length, r.Bad = r.digits, !r.number || r.digits > MaxValue
	}
}

// vocabulary are the words of the errors of memcached itself. Proxies and servers of other makes quote keys.
var vocabulary = func() map[string]bool {
	set := map[string]bool{}
	for _, text := range []string{
		"bad command line format", "bad data chunk", "object too large for cache", "out of memory storing object", "out of memory", "line too long",
		"cannot increment or decrement non-numeric value", "invalid numeric delta argument", "invalid exptime argument", "line format",
		"invalid arguments", "invalid flag", "duplicate flag", "invalid mode for set", "options flags are too long", "bad token in command line format",
		"too large", "unauthenticated", "authentication failure", "temporary failure", "internal error", "incorrect arguments", "bad key", "no key",
		"value too big", "unsupported command", "usage: lru_crawler", "delta chunked out of range", "failed to allocate", "key too long",
		"out of memory writing get response", "out of memory allocating item", "out of memory preparing response", "Out of memory during read",
		"command disabled", "flush_all not allowed", "slabs reassign command", "slab reassignment disabled", "lru crawler disabled",
	} {
		for from, i := 0, 0; i <= len(text); i++ {
			if i == len(text) || text[i] == ' ' {
				set[text[from:i]] = true
				from = i + 1
			}
		}
	}
	return set
}()
