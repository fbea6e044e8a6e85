package memcached

import (
	"bytes"

	"millrace.dev/protocols"
)

// version is in request lines of HTTP. A method may be called get, and a key may have any letters: where the beginning
// of a connection was not seen, such a line is neither.
var version = []byte(" HTTP/1.")

// maxLine is the longest line, in bytes, whose end is waited for: one with many keys.
const maxLine = 16 << 10

func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	switch from {
	case protocols.Client:
		return asks(b, how)
	case protocols.Server:
		return answers(b, how)
	default:
		return max(asks(b, how), answers(b, how))
	}
}

// asks judges whether b begins with a command. Words in small letters are those of many protocols, so at the beginning
// of a connection a command is not more than likely, unless its value ends where it should. Commands that have no
// answer, and those that other protocols have word for word, tell nothing: the next one does. Where the beginning was
// not seen, words without a key tell nothing at all.
func asks(b []byte, how protocols.Evidence) protocols.Guess {
	for {
		r, n, whole, ok := line(b)
		if !ok || !whole && n >= maxLine {
			return protocols.No
		}
		if !whole {
			return protocols.More
		}
		if !valid(&r) || how == protocols.Anywhere && (r.Command.Form == Admin || bytes.Contains(b[:n], version)) {
			return protocols.No
		}
		value := b[n:]
		if r.Value && uint64(len(value)) >= r.Length+2 {
			if end := value[r.Length:]; end[0] == '\r' && end[1] == '\n' {
				return protocols.Sure
			}
		}
		if tells(b[:n], &r) {
			if how == protocols.Opening {
				return protocols.Likely
			}
			return protocols.Sure
		}
		if r.Value || n == len(b) {
			return protocols.More
		}
		b = b[n:]
	}
}

// line reads the line with which b begins. whole says that its end is there; ok that nothing in it is what may not be
// there.
func line(b []byte) (r Request, n int, whole, ok bool) {
	for n < len(b) && n < maxLine {
		m, kind := r.Next(b[n:])
		for i, c := range b[n : n+m] {
			if c < ' ' && c != '\n' && (c != '\r' || i+n+1 < len(b) && b[i+n+1] != '\n') || c == 0x7f {
				return r, n, false, false
			}
		}
		n += m
		if kind == End {
			return r, n, true, true
		}
		if kind == Hidden && (r.Words == 1 || r.Command.Answer != Lines) || kind == Space && r.Words == 0 {
			return r, n, false, false
		}
	}
	return r, n, false, r.Words == 1 || r.Command.Form != Unknown
}

// valid reports whether a whole line has the words that its command has, and could be a client's first.
func valid(r *Request) bool {
	least, most := 2, 1<<20
	switch r.Command.Form {
	case Unknown:
		return false
	case Keys, Meta:
		if r.Command.Answer == MetaNoop {
			least, most = 1, 1
		}
	case TouchKeys, MetaStore:
		least = 3
	case Store:
		least, most = 5, 5
	case Swap:
		least, most = 6, 6
	case Change:
		if least, most = 3, 3; r.Command.Name == "delete" {
			least = 2
		}
	case Admin:
		switch r.Command.Name {
		case "stats", "flush_all":
			least, most = 1, 3
		case "version", "quit":
			least, most = 1, 1
		case "verbosity":
			most = 2
		default:
			return false
		}
	}
	if r.NoReply {
		most++
	}
	return !r.Bad && r.Words >= least && r.Words <= most
}

// tells reports whether the answer to a line can tell what the connection speaks. Beanstalk deletes jobs by their
// numbers, with the same command and answers.
func tells(line []byte, r *Request) bool {
	if r.NoReply || r.Quiet || r.Command.Answer == Nothing {
		return false
	}
	if r.Command.Name != "delete" || r.Words > 2 {
		return true
	}
	for _, c := range line[len("delete "):] {
		if c > ' ' && (c < '0' || c > '9') {
			return true
		}
	}
	return false
}

// answers judges whether b begins with an answer. Only items are beyond doubt, and no server speaks first.
func answers(b []byte, how protocols.Evidence) protocols.Guess {
	if how == protocols.Opening {
		return protocols.No
	}
	const word = "VALUE "
	if n := min(len(b), len(word)); string(b[:n]) != word[:n] {
		return protocols.No
	}
	var r Reply
	for n := 0; n < len(b) && n < maxLine; {
		m, kind := r.Next(b[n:])
		n += m
		switch {
		case kind == Hidden, kind == End && r.Bad:
			return protocols.No
		case kind == End:
			return protocols.Sure
		}
	}
	return protocols.More
}

// mayAnswer are the beginnings of the answers that a command can have.
func mayAnswer(c *Command) []string {
	switch c.Answer {
	case Items:
		return []string{"VALUE ", "END\r\n"}
	case MetaGet, MetaArithmetic:
		return []string{"VA ", "HD\r\n", "HD ", "EN\r\n", "NF\r\n", "NF ", "NS\r\n", "EX\r\n"}
	case MetaSet, MetaDelete:
		return []string{"HD\r\n", "HD ", "NS\r\n", "NS ", "EX\r\n", "EX ", "NF\r\n", "NF "}
	case MetaNoop:
		return []string{"MN\r\n"}
	case MetaDebug:
		return []string{"ME ", "EN\r\n"}
	default:
	}
	switch c.Name {
	case "incr", "decr":
		return []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "NOT_FOUND\r\n"}
	case "delete":
		return []string{"DELETED\r\n", "NOT_FOUND\r\n"}
	case "touch":
		return []string{"TOUCHED\r\n", "NOT_FOUND\r\n"}
	case "stats":
		return []string{"STAT ", "END\r\n", "RESET\r\n"}
	case "version":
		return []string{"VERSION "}
	case "flush_all", "verbosity":
		return []string{"OK\r\n"}
	default:
		return []string{"STORED\r\n", "NOT_STORED\r\n", "EXISTS\r\n", "NOT_FOUND\r\n"}
	}
}

// failures are the errors that any command can have. A plain ERROR is not among them: it proves nothing.
var failures = []string{"CLIENT_ERROR ", "SERVER_ERROR "}

// confirm judges the answer to the first command that has one.
func confirm(a protocols.Answered) protocols.Guess {
	asked := a.Asked
	for {
		r, n, whole, ok := line(asked)
		if !ok || !whole || !valid(&r) {
			return protocols.No
		}
		if !tells(asked[:n], &r) {
			asked = asked[n:]
			continue
		}
		if len(a.Answer) == 0 {
			return protocols.More
		}
		guess := max(begun(mayAnswer(r.Command), a.Answer), begun(failures, a.Answer))
		if guess == protocols.More && a.Cut {
			return protocols.No
		}
		return guess
	}
}

// begun reports whether b begins with one of texts, or goes on like one as far as it is there.
func begun(texts []string, b []byte) protocols.Guess {
	best := protocols.No
	for _, t := range texts {
		switch n := min(len(t), len(b)); {
		case string(b[:n]) != t[:n]:
		case n == len(t):
			return protocols.Sure
		default:
			best = protocols.More
		}
	}
	return best
}

// Begins reports whether b, which begins an event of the client of a connection that speaks the protocol, begins with a
// command. Less evidence is needed than where the protocol is not known: a whole line of a known command.
func Begins(b []byte) bool {
	r, _, whole, ok := line(b)
	return ok && whole && !r.Bad && r.Command.Form != Unknown
}

// Answers reports whether b, which begins an event of the server of a connection that speaks the protocol, begins with
// the line of an answer.
func Answers(b []byte) bool {
	var r Reply
	for n := 0; n < len(b) && n < maxLine; {
		m, kind := r.Next(b[n:])
		n += m
		switch {
		case kind == End:
			return r.Word != Other && !r.Bad
		case r.count == 1 && kind == Hidden, r.count == 0:
			return false
		}
	}
	return false
}
