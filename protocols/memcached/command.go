package memcached

// Form is how the line of a command goes on behind its name.
type Form uint8

// Forms.
const (
	// Unknown: the command is not in the table; nothing of its line is shown.
	Unknown Form = iota
	// Keys: one key or more.
	Keys
	// TouchKeys: an expiry, then one key or more.
	TouchKeys
	// Store: key, flags, expiry, length, noreply; a value follows.
	Store
	// Swap: like Store, with the version that is replaced behind the length.
	Swap
	// Change: a key, numbers, noreply.
	Change
	// Admin: words of which only numbers are shown, noreply.
	Admin
	// Meta: a key and flags.
	Meta
	// MetaStore: a key, a length and flags; a value follows.
	MetaStore
)

// Answer is how the answer of a command goes on.
type Answer uint8

// Answers.
const (
	// OneLine: a line.
	OneLine Answer = iota
	// Items: lines of VALUE, each with a value behind it, then END.
	Items
	// Lines: lines of any kind, up to END, or to a line that can only be the last.
	Lines
	// Nothing: none; the server closes the connection.
	Nothing
	// Log: a line, then log entries for ever.
	Log
	// MetaGet, MetaSet, MetaDelete, MetaArithmetic, MetaDebug, MetaNoop: a line of two capitals; VA has a value behind
	// it.
	MetaGet
	MetaSet
	MetaDelete
	MetaArithmetic
	MetaDebug
	MetaNoop
)

// Command is an entry of the table.
type Command struct {
	Name   string
	Form   Form
	Answer Answer
}

// maxName is the length of the longest name.
const maxName = 14

// noCommand stands for what is not in the table.
var noCommand = Command{}

var commands = []Command{
	{"get", Keys, Items},
	{"gets", Keys, Items},
	{"gat", TouchKeys, Items},
	{"gats", TouchKeys, Items},
	{"set", Store, OneLine},
	{"add", Store, OneLine},
	{"replace", Store, OneLine},
	{"append", Store, OneLine},
	{"prepend", Store, OneLine},
	{"cas", Swap, OneLine},
	{"incr", Change, OneLine},
	{"decr", Change, OneLine},
	{"delete", Change, OneLine},
	{"touch", Change, OneLine},
	{"stats", Admin, Lines},
	{"flush_all", Admin, OneLine},
	{"version", Admin, OneLine},
	{"verbosity", Admin, OneLine},
	{"cache_memlimit", Admin, OneLine},
	{"lru", Admin, OneLine},
	{"lru_crawler", Admin, Lines},
	{"slabs", Admin, OneLine},
	{"extstore", Admin, OneLine},
	{"refresh_certs", Admin, OneLine},
	{"shutdown", Admin, OneLine},
	{"watch", Admin, Log},
	{"quit", Admin, Nothing},
	{"mg", Meta, MetaGet},
	{"ms", MetaStore, MetaSet},
	{"md", Meta, MetaDelete},
	{"ma", Meta, MetaArithmetic},
	{"mn", Meta, MetaNoop},
	{"me", Meta, MetaDebug},
}

// byName finds commands; a map of strings is fast enough, because a lookup by a converted slice copies nothing.
var byName = func() map[string]*Command {
	m := make(map[string]*Command, len(commands))
	for i := range commands {
		m[commands[i].Name] = &commands[i]
	}
	return m
}()

// Lookup finds a command by its name, which is in lower case; one of the form Unknown if it is not in the table.
func Lookup(name []byte) *Command {
	if c := byName[string(name)]; c != nil {
		return c
	}
	return &noCommand
}

// begins reports whether a name of the table begins with b.
func begins(b []byte) bool {
	for i := range commands {
		if name := commands[i].Name; len(name) >= len(b) && name[:len(b)] == string(b) {
			return true
		}
	}
	return false
}
