package mysql

// Command is the first byte of a message of the client that begins a command.
type Command byte

// Commands.
const (
	Quit          Command = 0x01
	InitDB        Command = 0x02
	Query         Command = 0x03
	FieldList     Command = 0x04
	CreateDB      Command = 0x05
	DropDB        Command = 0x06
	Refresh       Command = 0x07
	Shutdown      Command = 0x08
	Statistics    Command = 0x09
	ProcessInfo   Command = 0x0a
	ProcessKill   Command = 0x0c
	Debug         Command = 0x0d
	Ping          Command = 0x0e
	ChangeUser    Command = 0x11
	BinlogDump    Command = 0x12
	TableDump     Command = 0x13
	RegisterSlave Command = 0x15
	Prepare       Command = 0x16
	Execute       Command = 0x17
	SendLongData  Command = 0x18
	Close         Command = 0x19
	ResetPrepared Command = 0x1a
	SetOption     Command = 0x1b
	Fetch         Command = 0x1c
	BinlogDumpGT  Command = 0x1e
	ResetSession  Command = 0x1f
	BulkExecute   Command = 0xfa
)

// Kind is how a command is answered.
type Kind uint8

// Kinds.
const (
	// Unknown: there is no such command.
	Unknown Kind = iota
	// Result: OK, an error, or results: definitions of columns, then rows.
	Result
	// Prepared: the number of the statement, then definitions of its parameters and columns.
	Prepared
	// Fields: definitions.
	Fields
	// Rows: rows.
	Rows
	// Text: a text.
	Text
	// Login: packets of authentication, then OK or an error.
	Login
	// Nothing: no answer.
	Nothing
	// Stream: the server sends for ever.
	Stream
)

// body is what follows the command's byte.
type body uint8

const (
	bodyDropped    body = iota // is dropped
	bodyText                   // SQL
	bodyAttributes             // attributes, then SQL
	bodyName                   // a name, up to the end
	bodyUser                   // user, authentication, database
)

type entry struct {
	kind Kind
	body body
	// fixed is how many bytes behind the command's byte are kept.
	fixed int
}

var entries = [256]entry{
	Quit: {kind: Nothing}, InitDB: {kind: Result, body: bodyName}, Query: {kind: Result, body: bodyAttributes}, FieldList: {kind: Fields},
	CreateDB: {kind: Result}, DropDB: {kind: Result}, Refresh: {kind: Result, fixed: 1}, Shutdown: {kind: Result}, Statistics: {kind: Text},
	ProcessInfo: {kind: Result}, ProcessKill: {kind: Result, fixed: 4}, Debug: {kind: Result}, Ping: {kind: Result},
	ChangeUser: {kind: Login, body: bodyUser}, BinlogDump: {kind: Stream}, TableDump: {kind: Stream}, RegisterSlave: {kind: Result},
	Prepare: {kind: Prepared, body: bodyText}, Execute: {kind: Result, fixed: 9}, SendLongData: {kind: Nothing, fixed: 6}, Close: {kind: Nothing, fixed: 4},
	ResetPrepared: {kind: Result, fixed: 4}, SetOption: {kind: Result, fixed: 2}, Fetch: {kind: Rows, fixed: 8}, BinlogDumpGT: {kind: Stream},
	ResetSession: {kind: Result}, BulkExecute: {kind: Result, fixed: 6},
}

// Kind says how the command is answered; Unknown if there is no such command.
func (c Command) Kind() Kind { return entries[c].kind }

// fits reports whether a command may have a payload of n bytes, its own byte included.
func (c Command) fits(n uint32) bool {
	switch e := entries[c]; {
	case e.kind == Unknown || n == 0:
		return false
	case e.body == bodyText || e.body == bodyAttributes || e.body == bodyName:
		return n > 1
	case c == Execute, c == BulkExecute, c == SendLongData:
		return n > uint32(e.fixed)
	case e.fixed > 0:
		return n == uint32(e.fixed)+1
	case c == Ping || c == Quit || c == Statistics || c == Debug || c == ResetSession || c == ProcessInfo:
		return n == 1
	}
	return true
}
