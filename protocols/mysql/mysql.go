package mysql

import (
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// Protocol is the protocol of MySQL and MariaDB.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_MYSQL,
	Name:      "mysql",
	Decoded:   true,
	Opener:    protocols.ServerOpens,
	Matches:   matches(),
	Recognise: recognise,
	Frames: &protocols.Frames{
		Header: protocols.FrameHeader{Size: 4, LengthSize: 3, Little: true, Add: 4},
		Client: protocols.Copy{Bytes: maxText + 512},
		Server: protocols.Copy{Bytes: 64},
	},
}

func matches() []protocols.Match {
	one := protocols.Match{}
	greeting := one.Then(0, 0).Then(0xfc, 0).Then(0xff, 0).Then(0xff, 0).Then(0xff, protocol10).Then(0xf0, '0')
	command := one.Then(0, 0).Then(0, 0).Then(0xf0, 0).Then(0xff, 0)
	execute := command.Then(0xff, byte(Execute)).Then(0, 0).Then(0, 0).Then(0, 0).Then(0, 0).Then(0xf0, 0)
	return []protocols.Match{
		greeting.By(protocols.Server).AtOpening(), // how packets begin behind the login is known with its end
		command.Then(0xff, byte(Query)).Then(0xc0, 0x40).By(protocols.Client),
		command.Then(0xff, byte(Query)).Then(0xff, 0).Then(0xff, 1).By(protocols.Client),
		command.Then(0xff, byte(Prepare)).Then(0xc0, 0x40).By(protocols.Client),
		execute.Then(0xff, 1).Then(0xff, 0).Then(0xff, 0).Then(0xff, 0).By(protocols.Client),
	}
}

// protocol10 is the version of the protocol: the first byte of a greeting.
const protocol10 = 10

func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	switch {
	case from == protocols.Server && how == protocols.Opening:
		return greets(b)
	case from == protocols.Server || how == protocols.Opening && from == protocols.Client:
		return protocols.No
	case from == protocols.Either && how == protocols.Opening:
		return greets(b)
	default:
		return asks(b)
	}
}

// greets judges whether b begins with a greeting: a packet with the number 0, the version of the protocol, that of the
// server, and what cannot be otherwise up to the capabilities.
func greets(b []byte) protocols.Guess {
	const fixed = HeaderBytes + 1
	for i := 1; i < min(len(b), fixed); i++ {
		if ok := [fixed]bool{1: b[i] < maxGreeting>>8, 2: b[i] == 0, 3: b[i] == 0, 4: b[i] == protocol10}; !ok[i] {
			return protocols.No
		}
	}
	if len(b) < fixed {
		return protocols.More
	}
	end := 0
	for i, c := range b[fixed:] {
		switch {
		case c == 0 && i > 2:
			end = fixed + i
		case c <= ' ' || c >= 0x7f || i == 0 && (c < '0' || c > '9') || i >= 100:
			return protocols.No
		}
		if end > 0 {
			break
		}
	}
	if end == 0 {
		return protocols.More
	}
	length := int(Length(b)) + HeaderBytes
	switch {
	case length < end+16:
		return protocols.No
	case len(b) > end+13 && b[end+13] != 0:
		return protocols.No
	case len(b) < end+16:
		return protocols.More
	case b[end+15]&(capProtocol41>>8) == 0:
		return protocols.No
	}
	return protocols.Sure
}

// asks judges whether b, whose beginning was not seen, is a command: a packet with the number 0 that ends with b, and
// a text that begins like a statement, or the fixed bytes with which a statement is executed.
func asks(b []byte) protocols.Guess {
	if len(b) < HeaderBytes+1 {
		if len(b) == HeaderBytes && b[3] != 0 {
			return protocols.No
		}
		return protocols.More
	}
	length := Length(b)
	c := Command(b[HeaderBytes])
	if b[3] != 0 || length >= 1<<20 || !c.fits(length) || c != Query && c != Prepare && c != Execute {
		return protocols.No
	}
	p := b[HeaderBytes+1:]
	if c == Execute {
		for i := 5; i < min(9, len(p)); i++ {
			if want := [9]byte{5: 1}; p[i] != want[i] {
				return protocols.No
			}
		}
		if len(p) > 4 && p[4] > 0x0f {
			return protocols.No
		}
		if len(p) < 9 {
			return protocols.More
		}
		return protocols.Sure
	}
	if len(p) > 0 && p[0] == 0 && c == Query {
		if len(p) > 1 && p[1] != 1 {
			return protocols.No
		}
		p = p[min(2, len(p)):]
	}
	return statement(p)
}

var verbs = []string{
	"ALTER", "ANALYZE", "BEGIN", "CALL", "COMMIT", "CREATE", "DELETE", "DESC", "DO", "DROP", "EXPLAIN", "FLUSH", "GRANT", "HANDLER", "INSERT", "KILL", "LOAD",
	"LOCK", "OPTIMIZE", "PREPARE", "RELEASE", "RENAME", "REPLACE", "REVOKE", "ROLLBACK", "SAVEPOINT", "SELECT", "SET", "SHOW", "START", "TRUNCATE", "UNLOCK",
	"UPDATE", "USE", "WITH", "XA",
}

// statement judges whether p begins with a verb of SQL.
func statement(p []byte) protocols.Guess {
	var word [12]byte
	n := 0
	for n < len(p) && n < len(word) && (p[n]|0x20) >= 'a' && (p[n]|0x20) <= 'z' {
		word[n] = p[n] &^ 0x20
		n++
	}
	best := protocols.No
	for _, v := range verbs {
		switch {
		case n < len(p) && string(word[:n]) == v:
			if c := p[n]; c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ';' {
				return protocols.Sure
			}
		case n == len(p) && n <= len(v) && string(word[:n]) == v[:n]:
			best = protocols.More
		}
	}
	return best
}

// Begins reports whether b, which begins an event of the client of a connection that speaks the protocol, begins with
// a command. whole says that all of the event is in b.
func Begins(b []byte, whole bool) bool {
	if len(b) <= HeaderBytes || b[3] != 0 {
		return false
	}
	length, c := Length(b), Command(b[HeaderBytes])
	if !c.fits(length) {
		return false
	}
	return !whole || int(length)+HeaderBytes == len(b) || asks(b) == protocols.Sure
}

// Answers reports whether b, which begins an event of the server of such a connection, may begin with the first packet
// of an answer.
func Answers(b []byte) bool {
	if len(b) <= HeaderBytes || b[3] != 1 {
		return false
	}
	switch length := Length(b); b[HeaderBytes] {
	case 0:
		return length >= 7
	case 0xff:
		return length >= 3
	case 0xfb:
		return length > 1
	case 0xfe:
		return length >= 5
	default:
		size := integerSize(b[HeaderBytes])
		return int(length) == size || int(length) == size+1
	}
}
