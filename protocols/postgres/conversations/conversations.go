// Package conversations holds what clients and servers of PostgreSQL say to each other, for tests.
package conversations

import (
	"encoding/binary"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Message makes a message of a type.
func Message(kind byte, body ...string) string {
	text := strings.Join(body, "")
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(text)+4))) + text
}

// First makes a message without a type: a code, then the body.
func First(code uint32, body string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)+8))
	return string(binary.BigEndian.AppendUint32(b, code)) + body
}

// Messages of clients.
var (
	Sync      = Message('S')
	Flush     = Message('H')
	Terminate = Message('X')
	CopyDone  = Message('c')
	// Startup names user app and database shop.
	Startup = First(196608, "user\x00app\x00database\x00shop\x00application_name\x00secretive application\x00client_encoding\x00UTF8\x00\x00")
	SSL     = First(80877103, "")
	GSS     = First(80877104, "")
)

// Query is a simple query.
func Query(text string) string { return Message('Q', text, "\x00") }

// Parse prepares a statement.
func Parse(name, text string) string {
	return Message('P', name, "\x00", text, "\x00\x00\x01\x00\x00\x00\x17")
}

// Bind makes a portal of a statement with one value.
func Bind(portal, statement, value string) string {
	return Message('B', portal, "\x00", statement, "\x00\x00\x01\x00\x00\x00\x01", long(len(value)), value, "\x00\x00")
}

// Describe asks for a statement (S) or a portal (P).
func Describe(what, name string) string { return Message('D', what, name, "\x00") }

// Close ends one.
func Close(what, name string) string { return Message('C', what, name, "\x00") }

// Execute runs a portal for at most rows rows.
func Execute(portal string, rows int) string { return Message('E', portal, "\x00", long(rows)) }

// Data is a row of COPY.
func Data(row string) string { return Message('d', row) }

// Messages of servers.
var (
	// Ready ends what a simple query or Sync asked for.
	Ready         = Message('Z', "I")
	ParseComplete = Message('1')
	BindComplete  = Message('2')
	CloseComplete = Message('3')
	NoData        = Message('n')
	Suspended     = Message('s')
	Empty         = Message('I')
	Parameters    = Message('t', "\x00\x01\x00\x00\x00\x17")
	CopyIn        = Message('G', "\x00\x00\x01\x00\x00")
	CopyOut       = Message('H', "\x00\x00\x01\x00\x00")
	// Welcome is what a server says when it lets a client in.
	Welcome = Message('R', long(0)) + Message('S', "standard_conforming_strings\x00on\x00") + Message('S', "client_encoding\x00UTF8\x00") +
		Message('S', "session_authorization\x00secretive name\x00") + Message('K', "\x00\x00\x10\x01keykeykeykey") + Ready
)

// Columns describes rows with columns.
func Columns(names ...string) string {
	var b strings.Builder
	for _, n := range names {
		b.WriteString(n + "\x00" + strings.Repeat("\x00", 18))
	}
	return Message('T', string([]byte{0, byte(len(names))}), b.String())
}

// Row is a row with one column.
func Row(value string) string { return Message('D', "\x00\x01", long(len(value)), value) }

// Complete ends a command.
func Complete(tag string) string { return Message('C', tag, "\x00") }

// Error is an error with its SQLSTATE and a text that quotes a value.
func Error(severity, code, text string) string {
	return Message('E', "S", severity, "\x00V", severity, "\x00C", code, "\x00M", text, "\x00D", text, "\x00tusers\x00nusers_pkey\x00Fnbtinsert.c\x00\x00")
}

func long(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }

// opening is how a client gets in.
func opening() []edgetest.Piece {
	return []edgetest.Piece{
		edgetest.Client(Startup), edgetest.Server(Message('R', long(10), "SCRAM-SHA-256\x00\x00")),
		edgetest.Client(Message('p', "SCRAM-SHA-256\x00"+long(20)+"n,,n=,r=nonce of a client")),
		edgetest.Server(Message('R', long(11), "r=nonce of a server")), edgetest.Client(Message('p', "c=biws,proof of a client")),
		edgetest.Server(Message('R', long(12), "v=proof of a server") + Welcome),
	}
}

// secretsOfOpening are what opening must not show.
var secretsOfOpening = []string{
	"secretive application", "nonce of a client", "nonce of a server", "proof of a client", "proof of a server", "secretive name", "keykeykeykey",
}

// List holds the conversations.
func List() []edgetest.Conversation {
	talk := func(name string, kept []string, pieces ...edgetest.Piece) edgetest.Conversation {
		return edgetest.Conversation{
			Name: name, Masks: "0", Kept: append(kept, "app", "shop", "database"), Pieces: append(opening(), pieces...),
			Secrets:  append([]string{"hunter2hunter2", "correct horse", "12345678901"}, secretsOfOpening...),
			Literals: []string{"battery staple", "987654321012"},
		}
	}
	ask, say := edgetest.Client, edgetest.Server
	const insert = "INSERT INTO users (name, n) VALUES ('battery staple', 987654321012)"
	return []edgetest.Conversation{
		talk("simple queries", []string{"SELECT * FROM users WHERE name = '****", "SELECT 2", "COMMIT"},
			ask(Query("SELECT * FROM users WHERE name = 'battery staple' -- battery staple")),
			say(Columns("name")+Row("hunter2hunter2")+Row("correct horse")+Complete("SELECT 2")+Ready),
			ask(Query("BEGIN; "+insert+"; COMMIT")), say(Complete("BEGIN")+Complete("INSERT 0 1")+Complete("COMMIT")+Ready),
			ask(Query("")), say(Empty+Ready), ask(Terminate)),
		talk("an error", []string{"23505", "users_pkey", "ERROR"},
			ask(Query(insert)), say(Error("ERROR", "23505", "Key (name)=(battery staple) already exists.")+Ready),
			ask(Query("SELECT 1")), say(Columns("?column?")+Row("1")+Complete("SELECT 1")+Ready)),
		talk("extended", []string{"by_name", "SELECT id FROM users WHERE name = $1", "UPDATE users SET a"},
			ask(Parse("by_name", "SELECT id FROM users WHERE name = $1 AND a <> 'battery staple'")+Describe("S", "by_name")+Sync),
			say(ParseComplete+Parameters+Columns("id")+Ready),
			ask(Bind("", "by_name", "hunter2hunter2")+Execute("", 0)+Sync), say(BindComplete+Row("12345678901")+Complete("SELECT 1")+Ready),
			ask(Bind("c1", "by_name", "hunter2hunter2")+Execute("c1", 2)+Sync), say(BindComplete+Row("1")+Row("2")+Suspended+Ready),
			ask(Execute("c1", 2)+Sync), say(Row("3")+Complete("SELECT 1")+Ready),
			ask(Parse("", "UPDATE users SET a = $1")+Bind("", "", "correct horse")+Describe("P", "")+Execute("", 0)+Sync),
			say(ParseComplete+BindComplete+NoData+Complete("UPDATE 5")+Ready),
			ask(Close("S", "by_name")+Sync), say(CloseComplete+Ready)),
		talk("a pipeline with an error", []string{"22012"},
			ask(Parse("", "SELECT 1/$1::int")+Bind("", "", "1")+Execute("", 0)+Bind("", "", "0")+Execute("", 0)+Bind("", "", "2")+Execute("", 0)+Sync+
				Parse("", "SELECT 'battery staple', $1")+Bind("", "", "x")+Execute("", 0)+Sync),
			say(ParseComplete+BindComplete+Row("1")+Complete("SELECT 1")+BindComplete+Error("ERROR", "22012", "division by zero")+Ready+
				ParseComplete+BindComplete+Row("hunter2hunter2")+Complete("SELECT 1")+Ready)),
		talk("COPY", []string{"COPY users FROM STDIN", "COPY 2", "COPY 3"},
			ask(Query("COPY users FROM STDIN")), say(CopyIn), ask(Data("hunter2hunter2\n")+Data("correct horse\n")), ask(CopyDone),
			say(Complete("COPY 2")+Ready),
			ask(Query("COPY users TO STDOUT")), say(CopyOut+Data("hunter2hunter2\n")), say(Data("12345678901\n")+Data("correct horse\n")+CopyDone+Complete("COPY 3")+Ready),
			ask(Query("COPY users FROM STDIN")), say(CopyIn), ask(Data("hunter2hunter2\n")+Message('f', "hunter2hunter2\x00")),
			say(Error("ERROR", "57014", "COPY from stdin failed: hunter2hunter2")+Ready)),
		talk("COPY in the extended protocol", []string{"COPY users FROM STDIN", "COPY 2"},
			ask(Parse("", "COPY users FROM STDIN")+Bind("", "", "x")+Execute("", 0)+Sync), say(ParseComplete+BindComplete+CopyIn),
			ask(Data("hunter2hunter2\n")+Data("correct horse\n")), ask(CopyDone+Sync), say(Complete("COPY 2")+Ready),
			ask(Parse("", "SELECT 1")+Bind("", "", "x")+Execute("", 0)+Sync), say(ParseComplete+BindComplete+Row("1")+Complete("SELECT 1")+Ready)),
		talk("a statement that cannot be prepared", []string{"42P01", "SELECT * FROM nothing"},
			ask(Parse("s1", "SELECT * FROM nothing")+Describe("S", "s1")+Flush), say(Error("ERROR", "42P01", "relation \"correct horse\" does not exist")), ask(Sync), say(Ready),
			ask(Parse("s2", "SELECT 1")+Describe("S", "s2")+Flush), say(ParseComplete+Parameters+Columns("a")),
			ask(Bind("", "s2", "x")+Execute("", 0)+Sync), say(BindComplete+Row("1")+Complete("SELECT 1")+Ready),
			ask(Query("DISCARD ALL")), say(Complete("DISCARD ALL")+Ready),
			ask(Bind("", "s2", "x")+Execute("", 0)+Sync), say(Error("ERROR", "26000", "prepared statement \"correct horse\" does not exist")+Ready)),
		talk("the server ends", []string{"57P01"},
			ask(Query("SELECT pg_sleep(100)")), say(Error("FATAL", "57P01", "terminating connection"))),
		talk("unasked messages", []string{"LISTEN c", "01000"},
			ask(Query("LISTEN c")), say(Complete("LISTEN")+Ready), say(Message('A', long(1), "c\x00hunter2hunter2\x00")),
			ask(Query("SELECT 1")),
			say(Message('N', "SWARNING\x00VWARNING\x00C01000\x00Mhunter2hunter2\x00\x00")+Message('S', "TimeZone\x00correct horse\x00")+Columns("a")+
				Message('A', long(1), "c\x00hunter2hunter2\x00")+Row("1")+Complete("SELECT 1")+Ready)),
		talk("a function call", nil,
			ask(Message('F', long(2000), "\x00\x00\x00\x01", long(14), "hunter2hunter2", "\x00\x00")), say(Message('V', long(13), "correct horse")+Ready)),
		{
			Name:    "encryption refused",
			Pieces:  append(append([]edgetest.Piece{ask(SSL), say("N"), ask(GSS), say("N")}, opening()...), ask(Query("SELECT 'battery staple'")), say(Columns("a")+Row("hunter2hunter2")+Complete("SELECT 1")+Ready)),
			Secrets: append([]string{"hunter2hunter2"}, secretsOfOpening...), Literals: []string{"battery staple"}, Kept: []string{"shop", "SELECT 1"}, Masks: "0",
		},
		{
			Name:    "encryption",
			Pieces:  []edgetest.Piece{ask(SSL), say("S"), ask("\x16\x03\x01\x00\x10correct horse"), say("\x16\x03\x03\x00\x10hunter2hunter2")},
			Secrets: []string{"correct horse", "hunter2hunter2"}, Kept: []string{"S"},
		},
		{
			Name: "cancel", Pieces: []edgetest.Piece{ask(First(80877102, "\x00\x00\x10\x01keykeykeykey"))}, Secrets: []string{"keykeykeykey"},
		},
		{
			Name:    "a password that is refused",
			Pieces:  []edgetest.Piece{ask(Startup), say(Message('R', long(5), "salt")), ask(Message('p', "md5hunter2hunter2\x00")), say(Error("FATAL", "28P01", "password authentication failed for user \"correct horse\""))},
			Secrets: []string{"hunter2hunter2", "correct horse", "secretive application"}, Kept: []string{"28P01"},
		},
	}
}
