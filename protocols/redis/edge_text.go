package redis

import "millrace.dev/protocols/rediscommand"

// Lines of text: statuses, errors, numbers. Statuses and errors quote what clients and scripts sent, so only the words
// are kept of which Redis' own messages are made.

// vocabulary are the words of the statuses and errors of Redis and Valkey.
var vocabulary = func() map[string]bool {
	set := map[string]bool{}
	for _, text := range messages {
		for from := 0; from < len(text); {
			to := from
			for to < len(text) && text[to] != ' ' {
				to++
			}
			if word := trimWord([]byte(text[from:to])); len(word) > 0 {
				set[string(word)] = true
			}
			from = to + 1
		}
	}
	return set
}()

var messages = []string{
	"OK PONG QUEUED RESET CONTINUE FULLRESYNC none string list set zset hash stream vectorset",
	"Background saving started", "Background saving scheduled", "Background append only file rewriting started",
	"Background append only file rewriting scheduled", "Operation against a key holding the wrong kind of value", "Authentication required",
	"invalid username-password pair or user is disabled", "invalid password", "Client sent AUTH, but no password is set",
	"AUTH called without any password configured for the default user. Are you sure your configuration is correct?",
	"no such key", "value is not an integer or out of range", "value is not a valid float", "value is out of range, must be positive",
	"syntax error", "index out of range", "increment or decrement would overflow", "increment would produce NaN or Infinity",
	"wrong number of arguments for command", "unknown command", "unknown subcommand or wrong number of arguments for", "Try HELP",
	"with args beginning with", "No matching script. Please use EVAL", "Consumer Group name already exists",
	"Transaction discarded because of previous errors", "command not allowed when used memory", "You can't write against a read only replica",
	"You can't write against a read only slave", "Link with MASTER is down and replica-serve-stale-data is set to 'no'",
	"Redis is loading the dataset in memory", "Valkey is loading the dataset in memory",
	"Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE", "Keys in request don't hash to the same slot",
	"Multiple keys request during rehashing of slot", "Hash slot not served", "The cluster is down", "No such key or consumer group",
	"Not enough good replicas to write", "Target key name already exists", "MULTI calls can not be nested", "EXEC without MULTI",
	"DISCARD without MULTI", "WATCH inside MULTI is not allowed", "DB index is out of range", "invalid DB index", "invalid expire time in command",
	"min or max is not a float", "min or max not valid string range item", "Protocol error", "max number of clients reached",
	"this user has no permissions to run the command", "this user has no permissions to access one of the keys used as arguments",
	"User has no permissions to run the command", "Can't execute only allowed in this context", "unsupported protocol version",
	"no such index", "hash value is not an integer", "hash value is not a float", "bit is not an integer or out of range",
	"bit offset is not an integer or out of range", "offset is out of range", "string exceeds maximum allowed size", "timeout is negative",
	"timeout is not a float or out of range", "client unblocked via CLIENT UNBLOCK", "source and destination objects are the same",
	"The ID specified in XADD is equal or smaller than the target stream top item", "Invalid stream ID specified as stream command argument",
	"Error running script", "script killed by user", "Script attempted to access nonexistent global variable", "Write commands are not allowed",
	"from read-only scripts", "Number of keys can't be greater than number of args", "numkeys should be greater than 0", "Function not found",
	"Library already exists", "No such master with that name", "This instance has cluster support disabled", "Unknown node",
	"Errors trying to SAVE to disk. Commands that may modify the data set are disabled", "Redis is configured to save RDB snapshots",
	"but it is currently unable to persist to disk", "Running in protected mode because protected mode is enabled", "slot port host",
}

// words is where in a line of text a direction is.
type words struct {
	count  uint16 // words that are behind
	length uint16 // of the word being read, in earlier pieces
	hidden bool   // the rest of the word is blanked
}

// simple reads the rest of a line that is a value of its own.
func (r *rules) simple(d *direction, b []byte, i int) int {
	j := i
	for j < len(b) && b[j] != '\n' {
		j++
	}
	text := b[i:j]
	done := j < len(b)
	// Whether a carriage return ends the line shows only with the next byte; within one it is blanked with its word.
	if n := len(text); n > 0 && text[n-1] == '\r' {
		text = text[:n-1]
	}
	switch {
	case d.asks:
		r.blank(text) // Commands have no such values.
	case d.valueType == '+':
		r.statusWords(&d.words, text, done || j > i+len(text))
	case d.valueType == '-':
		r.errorWords(&d.words, text, done || j > i+len(text))
	case d.valueType == ':' || d.valueType == ',' || d.valueType == '(':
		r.numbers(&d.words, text)
	case d.valueType == '#' && len(text) == 1 && d.words.length == 0:
	default:
		r.blank(text)
	}
	d.words.length += uint16(min(len(text), 1<<14))
	if !done {
		return j
	}
	d.phase, d.textLength = phaseReply, 0
	if d.argument < d.arguments {
		d.argument++
	}
	return j + 1
}

// numbers makes every digit but zero a one: whether a number is zero, its sign and its length are kept.
func (r *rules) numbers(w *words, text []byte) {
	if !r.Enable {
		return
	}
	for i, c := range text {
		switch {
		case c >= '2' && c <= '9':
			r.out.MaskWith(text[i:i+1], '1')
		case c == '0' || c == '1' || c == '-' || c == '+' || c == '.':
		case i == 0 && w.length == 0 && (c == 'i' || c == 'n'): // inf, nan
		default:
			r.out.MaskWith(text[i:i+1], '*')
		}
	}
}

// statusWords keeps the words of Redis' own statuses. A line that begins with a digit may be one of MONITOR: that digit
// is kept, by which the decoder knows it.
func (r *rules) statusWords(w *words, text []byte, done bool) {
	if w.count == 0 && w.length == 0 && len(text) > 0 && isDigit(text[0]) {
		w.hidden = true
		text = text[1:]
	}
	if w.hidden && w.count == 0 {
		r.blank(text)
		return
	}
	r.keepWords(w, text, done)
}

// maxErrorKind is the length of the longest kind of an error: NOMASTERLINK.
const maxErrorKind = 12

// errorWords keeps the kind of an error, which is a word of capitals, and those words of its text that Redis' own
// messages have.
func (r *rules) errorWords(w *words, text []byte, done bool) {
	i := 0
	if w.count == 0 {
		for i < len(text) && text[i] != ' ' {
			if c := text[i]; w.hidden || c < 'A' || c > 'Z' || int(w.length)+i >= maxErrorKind {
				w.hidden = true
				r.blank(text[i : i+1])
			}
			i++
		}
		if i == len(text) {
			return
		}
		w.count, w.hidden = 1, false
		i++
	}
	r.keepWords(w, text[i:], done)
}

// keepWords keeps known words. A word that is cut by the end of an event is blanked.
func (r *rules) keepWords(w *words, text []byte, done bool) {
	for i := 0; i < len(text); {
		j := i
		for j < len(text) && text[j] != ' ' {
			j++
		}
		word := text[i:j]
		cut := j == len(text) && !done
		if len(word) > 0 {
			if w.hidden || cut || !knownWord(word) {
				r.blank(word)
			}
			w.hidden = cut
		}
		if j < len(text) {
			w.count = min(w.count+1, 1<<14)
			w.hidden = false
		}
		i = j + 1
	}
}

// trimWord cuts punctuation off a word.
func trimWord(word []byte) []byte {
	for n := len(word); n > 0 && (word[n-1] == ',' || word[n-1] == '.' || word[n-1] == ':' || word[n-1] == '?' || word[n-1] == ';'); n-- {
		word = word[:n-1]
	}
	return word
}

// knownWord reports whether a word may be one of Redis' own: of its messages, or the quoted name of a command.
func knownWord(word []byte) bool {
	word = trimWord(word)
	if vocabulary[string(word)] {
		return true
	}
	if n := len(word); n > 2 && word[0] == '\'' && word[n-1] == '\'' {
		return rediscommand.Lookup(word[1:n-1]) != rediscommand.Unknown
	}
	return len(word) == 0
}
