package redis

import (
	"bytes"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

const (
	// maxName is the longest command name with which an array is taken for a command.
	maxName = 64
	// maxArguments is the most arguments of a command. The server's limit is 1024*1024.
	maxArguments = 1 << 20
	// maxInline is the longest inline command that can open a connection.
	maxInline = 256
	// maxDigits is the most digits of a length.
	maxDigits = 8
	// maxAnswer is the longest first line of an answer.
	maxAnswer = 4 << 10
)

// Protocol is Redis.
var Protocol = protocols.Protocol{
	Number:    millracev1.Protocol_PROTOCOL_REDIS,
	Name:      "redis",
	Decoded:   true,
	Matches:   matches(),
	Recognise: recognise,
	Confirm:   confirm,
}

func matches() []protocols.Match {
	var list []protocols.Match
	one := protocols.Match{}
	for _, kind := range []protocols.Match{
		one.Then(0xff, '*'), one.Then(0xfe, '$'), one.Then(0xff, '!'), one.Then(0xfc, 0x3c), one.Then(0xfd, '|'), // $%, <=>?, |~
	} {
		digit := kind.Then(0xf0, 0x30) // and '?'
		list = append(list, digit.Then(0xff, '\r'), digit.Then(0xf0, 0x30), kind.Then(0xff, '-').Then(0xf0, 0x30))
	}
	for _, kind := range []protocols.Match{one.Then(0xff, ':'), one.Then(0xfb, '(')} { // (,
		list = append(list, kind.Then(0xf0, 0x30), kind.Then(0xff, '-'))
	}
	return append(list,
		one.Then(0xff, '+').Then(0xe0, 0x40),
		one.Then(0xff, '-').Then(0xe0, 0x40).Then(0xe0, 0x40),
		protocols.Text("_\r\n"),
		protocols.Text("PING\r"), // also on Unix-domain sockets, whose beginning the kernel side does not see
		one.Then(0xff, '#').Then(0xed, 0x64).Then(0xff, '\r'),
		one.Then(0xc0, 0x40).Then(0xc0, 0x40).Then(0xc0, 0x40).AtOpening()) // an inline command
}

func recognise(b []byte, from protocols.End, how protocols.Evidence) protocols.Guess {
	switch from {
	case protocols.Client:
		return command(b, true, how)
	case protocols.Server:
		return reply(b, how, true)
	default:
		if g := command(b, false, how); g != protocols.No {
			return g
		}
		return reply(b, how, false)
	}
}

// command judges whether b begins with a command. Unless the end is known to be a client, an array has to name a known
// command, because it may be a reply.
func command(b []byte, client bool, how protocols.Evidence) protocols.Guess {
	if b[0] == '*' {
		return array(b, client && how != protocols.Anywhere)
	}
	if !client || how != protocols.Opening {
		return protocols.No
	}
	_, g := inline(b)
	return g
}

// array judges "*<n> CR LF $<m> CR LF <name>".
func array(b []byte, certain bool) protocols.Guess {
	n, at, g := number(b, 1)
	if g != protocols.Sure {
		return g
	}
	if n < 1 || n > maxArguments {
		return protocols.No
	}
	if at == len(b) {
		return protocols.More
	}
	if b[at] != '$' {
		return protocols.No
	}
	m, at, g := number(b, at+1)
	if g != protocols.Sure {
		return g
	}
	if m < 1 || m > maxName {
		return protocols.No
	}
	name := b[at:min(len(b), at+m)]
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return protocols.No
		}
	}
	if len(name) < m {
		return protocols.More
	}
	if !certain && !IsCommand(name) {
		return protocols.No
	}
	return protocols.Sure
}

// number reads a decimal number and CR LF.
func number(b []byte, at int) (n, next int, g protocols.Guess) {
	start := at
	for ; at < len(b) && at-start < maxDigits && b[at] >= '0' && b[at] <= '9'; at++ {
		n = n*10 + int(b[at]-'0')
	}
	switch {
	case at == len(b):
		return 0, at, protocols.More
	case at == start || b[at] != '\r':
		return 0, at, protocols.No
	case at+1 == len(b):
		return 0, at, protocols.More
	case b[at+1] != '\n':
		return 0, at, protocols.No
	}
	return n, at + 2, protocols.Sure
}

// inlineAnswers are the commands with which an inline command may open a connection, and the replies that they can have
// beside an error: types, or a whole line where there is only one. Most of these words belong to other protocols too.
var inlineAnswers = map[string][]string{
	"PING": {"+PONG", "$"}, "INFO": {"$", "="}, "DBSIZE": {":"}, "MONITOR": {"+OK"}, "COMMAND": {"*", ":", "%"}, "FLUSHALL": {"+OK"},
	"FLUSHDB": {"+OK"}, "AUTH": {"+OK"}, "HELLO": {"*", "%"}, "SELECT": {"+OK"}, "ECHO": {"$"}, "EXISTS": {":"}, "DEL": {":"},
	"KEYS": {"*", "~"}, "TIME": {"*"}, "ROLE": {"*"}, "CONFIG": {"*", "%", "+OK"}, "CLIENT": {"+OK", "$", ":", "*", "="},
	"ACL": {"+OK", "*", "$", "%", ":"}, "RESET": {"+RESET"}, "QUIT": {"+OK"}, "SET": {"+OK", "$", "_"}, "GET": {"$", "_"}, "INCR": {":"},
	"DECR": {":"}, "LPUSH": {":"}, "RPUSH": {":"}, "HSET": {":"}, "HGET": {"$", "_"}, "TTL": {":"},
	"TYPE": {"+none", "+string", "+list", "+set", "+zset", "+hash", "+stream"},
}

// mayAnswer reports whether b begins one of the replies, or goes on like it as far as it is there.
func mayAnswer(answers []string, b []byte) bool {
	for _, a := range answers {
		if len(a) > 1 {
			a += "\r\n"
		}
		if n := min(len(a), len(b)); string(b[:n]) == a[:n] {
			return true
		}
	}
	return b[0] == '-'
}

// inline judges an inline command: a line of words, the first of which is a command that may open a connection. It is
// never more than likely.
func inline(b []byte) (answers []string, g protocols.Guess) {
	n := 0
	for n < len(b) && n < maxName && (b[n]|0x20) >= 'a' && (b[n]|0x20) <= 'z' {
		n++
	}
	if n == len(b) {
		for name := range inlineAnswers {
			if len(name) >= n && equalFold(b, name[:n]) {
				return nil, protocols.More
			}
		}
		return nil, protocols.No
	}
	if b[n] != '\r' && b[n] != '\n' && b[n] != ' ' || n > 8 {
		return nil, protocols.No
	}
	var upper [8]byte
	for i, c := range b[:n] {
		upper[i] = raise(c)
	}
	answers = inlineAnswers[string(upper[:n])]
	if answers == nil {
		return nil, protocols.No
	}
	for i := n; i < len(b) && i < maxInline; i++ {
		switch c := b[i]; {
		case c == '\n':
			return answers, protocols.Likely
		case c == '\r' && i+1 < len(b) && b[i+1] != '\n' || c < ' ' && c != '\r' && c != '\t' || c == 0x7f:
			return nil, protocols.No
		}
	}
	if len(b) < maxInline {
		return answers, protocols.More
	}
	return nil, protocols.No
}

// confirm judges the answer to an inline command: it must be a reply of RESP of a type that the command can have.
func confirm(a protocols.Answered) protocols.Guess {
	answers, g := inline(a.Asked)
	if g != protocols.Likely {
		return protocols.No
	}
	b := a.Answer
	if len(b) == 0 {
		return protocols.More
	}
	if !mayAnswer(answers, b) {
		return protocols.No
	}
	const nats = "-ERR '"
	if len(b) >= len(nats) && string(b[:len(nats)]) == nats {
		return protocols.No // Redis quotes arguments, but no error of its own begins with one.
	}
	g = firstLine(b)
	if g == protocols.More && a.Cut {
		return protocols.No
	}
	return g
}

// firstLine judges the line with which a value begins, up to its CR LF.
func firstLine(b []byte) protocols.Guess {
	end := bytes.IndexByte(b[:min(len(b), maxAnswer)], '\n')
	line := b
	if end >= 0 {
		if line = b[:end]; end < 2 || line[end-1] != '\r' {
			return protocols.No
		}
		line = line[:end-1]
	} else if len(b) >= maxAnswer {
		return protocols.No
	}
	var ok bool
	switch rest := line[1:]; b[0] {
	case '+':
		ok = len(rest) > 0 || end < 0
		for _, c := range rest {
			ok = ok && (c >= ' ' || end < 0 && c == '\r')
		}
	case '-':
		ok = isError(rest, end >= 0)
	case '_':
		ok = len(rest) == 0 || end < 0 && string(rest) == "\r"
	case '#':
		ok = len(rest) == 0 && end < 0 || len(rest) > 0 && (rest[0] == 't' || rest[0] == 'f') && (len(rest) == 1 || end < 0)
	case '$', '=', '!', '*', '%', '~', '>', '|', ':':
		ok = isInteger(rest, end >= 0)
	default:
		ok = false
	}
	switch {
	case !ok:
		return protocols.No
	case end < 0:
		return protocols.More
	}
	return protocols.Sure
}

// isError reports whether a line goes on like an error: a code in capitals, then the end or a text. With whole the line
// is complete.
func isError(rest []byte, whole bool) bool {
	n := 0
	for n < len(rest) && (rest[n] >= 'A' && rest[n] <= 'Z' || n > 0 && (rest[n] == '_' || rest[n] >= '0' && rest[n] <= '9')) {
		n++
	}
	if n == len(rest) {
		return n > 1 || !whole
	}
	return n > 1 && (rest[n] == ' ' || !whole && rest[n] == '\r')
}

func isInteger(rest []byte, whole bool) bool {
	digits := 0
	for i, c := range rest {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case i == 0 && c == '-', !whole && c == '\r' && digits > 0 && i == len(rest)-1:
		default:
			return false
		}
	}
	return digits <= 19 && (digits > 0 || !whole)
}

// refusals are the errors with which a server ends a connection that it has just accepted, or that it sends to those
// that it does not serve.
var refusals = []string{"-ERR ", "-DENIED ", "-NOAUTH ", "-LOADING ", "-MASTERDOWN ", "-NOPROTO ", "-BUSY "}

// reply judges whether b begins with a reply. Where a connection opens, a server only speaks first to refuse; that
// alone proves nothing, because the errors of POP3 look the same. Elsewhere the reply must be beyond doubt; a string on
// its own is one only from an end that is known to be the server, because it may be an argument.
func reply(b []byte, how protocols.Evidence, server bool) protocols.Guess {
	if how == protocols.Opening {
		for _, r := range refusals {
			if n := min(len(r), len(b)); string(b[:n]) == r[:n] {
				return protocols.More
			}
		}
		return protocols.No
	}
	switch b[0] {
	case '*', '%', '~', '>', ':':
		return firstLine(b)
	case '$':
		if !server {
			return protocols.No
		}
		return firstLine(b)
	case '+', '-', '_':
		best := protocols.No
		for _, known := range [...]string{"+OK\r\n", "+PONG\r\n", "+QUEUED\r\n", "-ERR ", "-WRONGTYPE ", "-MOVED ", "_\r\n"} {
			n := min(len(known), len(b))
			switch {
			case string(b[:n]) != known[:n]:
			case n == len(known):
				return protocols.Sure
			default:
				best = protocols.More
			}
		}
		return best
	}
	return protocols.No
}

func equalFold(b []byte, upper string) bool {
	if len(b) != len(upper) {
		return false
	}
	for i, c := range b {
		if raise(c) != upper[i] {
			return false
		}
	}
	return true
}
