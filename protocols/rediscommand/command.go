package rediscommand

// Command is what is known of a command. The values belong to this package.
type Command struct {
	// Name in upper case, with the subcommand behind a space. Empty: a command that is not known.
	Name string
	// Container: the first argument is a subcommand, and part of the name.
	Container bool
	// first arguments that are shown; all of them if it is negative.
	first int8
	form  form
}

type form uint8

const (
	formFirst  form = iota
	formPairs       // key, value, key, value
	formFields      // key, then field, value, field, value
)

// Unknown stands for commands that are not in the table.
var Unknown = &Command{}

// Shown reports whether argument i is shown; 1 is the first behind the name (with its subcommand).
func (c *Command) Shown(i int) bool {
	switch c.form {
	case formPairs:
		return i%2 == 1
	case formFields:
		return i == 1 || i%2 == 0
	default:
		return c.first < 0 || i <= int(c.first)
	}
}

// Secret reports whether the values of a command are credentials, or may hold some, whatever they are: they are never
// shown, not even where literals are wanted.
func (c *Command) Secret() bool { return c == Unknown || secret[c.Name] }

// secret are the commands whose values are never shown: those that carry passwords, and code, which may.
var secret = func() map[string]bool {
	set := map[string]bool{}
	for _, name := range []string{
		"AUTH", "HELLO", "MIGRATE", "REPLCONF", "SENTINEL", "SENTINEL SET", "SENTINEL CONFIG", "SENTINEL DEBUG", "SENTINEL MONITOR", "DEBUG", "ACL SETUSER", "ACL DRYRUN", "ACL GENPASS", "CONFIG SET", "CONFIG GET", "MODULE LOAD",
		"MODULE LOADEX", "FUNCTION LOAD", "FUNCTION RESTORE", "SCRIPT LOAD", "CLIENT SETNAME", "CLIENT SETINFO", "CLIENT KILL", "EVAL", "EVAL_RO",
		"COMMAND GETKEYS", "COMMAND GETKEYSANDFLAGS",
	} {
		set[name] = true
	}
	return set
}()

// maxName is the length of the longest name.
const maxName = 32

// Lookup finds a command by its name in any case; [Unknown] if it is not in the table.
func Lookup(name []byte) *Command {
	var upper [maxName]byte
	if len(name) > len(upper) {
		return Unknown
	}
	for i, c := range name {
		upper[i] = toUpper(c)
	}
	if c := commands[string(upper[:len(name)])]; c != nil {
		return c
	}
	return Unknown
}

// Sub finds a container's subcommand by its name in any case; [Unknown] if it is not in the table.
func (c *Command) Sub(name []byte) *Command {
	var upper [maxName]byte
	n := copy(upper[:], c.Name)
	if n+1+len(name) > len(upper) {
		return Unknown
	}
	upper[n] = ' '
	n++
	for _, b := range name {
		upper[n] = toUpper(b)
		n++
	}
	if sub := commands[string(upper[:n])]; sub != nil {
		return sub
	}
	return Unknown
}

// Begins reports whether a name in the table begins with b, in any case. It is slow.
func Begins(b []byte) bool { return begins("", b) }

// SubBegins reports whether a subcommand of c begins with b, in any case. It is slow.
func (c *Command) SubBegins(b []byte) bool { return begins(c.Name+" ", b) }

func begins(before string, b []byte) bool {
	for name := range commands {
		if len(name) < len(before)+len(b) || name[:len(before)] != before {
			continue
		}
		same := true
		for i, c := range b {
			same = same && name[len(before)+i] == toUpper(c)
		}
		if same {
			return true
		}
	}
	return false
}

// modules are the prefixes of the commands of well-known modules.
var modules = []string{
	"JSON.", "FT.", "TS.", "BF.", "CF.", "CMS.", "TOPK.", "TDIGEST.", "GRAPH.", "SEARCH.", "CL.", "RG.", "AI.", "TIMESERIES.",
}

// Named reports whether a name that is not in the table is that of a well-known module's command: its prefix, and a
// word of at most 16 letters.
func Named(name []byte) bool {
	for _, prefix := range modules {
		if len(name) <= len(prefix) || len(name) > len(prefix)+16 {
			continue
		}
		same := true
		for i := range name {
			c := toUpper(name[i])
			if i < len(prefix) {
				same = same && c == prefix[i]
			} else {
				same = same && c >= 'A' && c <= 'Z'
			}
		}
		if same {
			return true
		}
	}
	return false
}

func toUpper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}
