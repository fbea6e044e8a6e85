// Package conversations are how MySQL and MariaDB are spoken, with secrets, for tests.
package conversations

import (
	"encoding/binary"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Capabilities of which the tests need a name.
const (
	ConnectWithDB   = 1 << 3
	Compress        = 1 << 5
	SSL             = 1 << 11
	DeprecateEOF    = 1 << 24
	QueryAttributes = 1 << 27
	Usual           = 1<<9 | 1<<15 | 1<<16 | 1<<17 | 1<<19 | ConnectWithDB
	all             = Usual | Compress | SSL | DeprecateEOF | QueryAttributes
)

// Packet makes a packet.
func Packet(sequence byte, payload string) string {
	n := len(payload)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence}) + payload
}

// Packets makes packets with ascending numbers.
func Packets(sequence byte, payloads ...string) string {
	var b strings.Builder
	for i, p := range payloads {
		b.WriteString(Packet(sequence+byte(i), p))
	}
	return b.String()
}

func number(size int, v uint64) string {
	return string(binary.LittleEndian.AppendUint64(nil, v)[:size])
}

func text(s string) string { return string([]byte{byte(len(s))}) + s }

// Greeting is what a server says first that can do all that the tests need.
func Greeting(version string) string { return Offer(version, all) }

// Offer is what a server with the capabilities says first.
func Offer(version string, capabilities uint64) string {
	return Packet(0, "\x0a"+version+"\x00"+number(4, 7)+"CHALLENG"+"\x00"+number(2, capabilities&0xffff)+"\x2d"+number(2, 2)+number(2, capabilities>>16)+"\x15"+
		strings.Repeat("\x00", 10)+"challenge123\x00"+"mysql_native_password\x00")
}

// Login is what the client answers.
func Login(capabilities uint32, user, proof, database string) string {
	return Packet(1, number(4, uint64(capabilities))+number(4, 1<<24)+"\x2d"+strings.Repeat("\x00", 23)+user+"\x00"+text(proof)+database+"\x00"+
		"mysql_native_password\x00"+text(text("_client_name")+text("libmysql")))
}

// OK ends a result.
func OK(affected byte, status uint16, info string) string {
	return "\x00" + string([]byte{affected}) + "\x00" + number(2, uint64(status)) + "\x00\x00" + info
}

// EOF ends definitions or rows; the one that replaces it is EndOfRows.
func EOF(status uint16) string { return "\xfe\x00\x00" + number(2, uint64(status)) }

// EndOfRows ends rows where EOF packets are deprecated.
func EndOfRows(status uint16) string { return "\xfe\x00\x00" + number(2, uint64(status)) + "\x00\x00" }

// Error is an error.
func Error(code uint16, state, message string) string {
	return "\xff" + number(2, uint64(code)) + "#" + state + message
}

// Definition defines a column.
func Definition(name string) string {
	return text("def") + text("shop") + text("t") + text("t") + text(name) + text(name) + "\x0c\x2d\x00" + number(4, 80) + "\xfd\x00\x00\x00\x00\x00"
}

// Row is a row of texts.
func Row(values ...string) string {
	var b strings.Builder
	for _, v := range values {
		b.WriteString(text(v))
	}
	return b.String()
}

// Command is a command of the client.
func Command(c byte, body string) string { return Packet(0, string([]byte{c})+body) }

// Execute executes a prepared statement.
func Execute(statement uint32, values string) string {
	return Command(0x17, number(4, uint64(statement))+"\x00\x01\x00\x00\x00"+values)
}

// PreparedOK is the first packet of the answer to what prepares a statement.
func PreparedOK(statement uint32, columns, parameters uint16) string {
	return "\x00" + number(4, uint64(statement)) + number(2, uint64(columns)) + number(2, uint64(parameters)) + "\x00\x00\x00"
}

const secret = "hunter2hunter2"

// List gives the conversations.
func List() []edgetest.Conversation {
	ask, say := edgetest.Client, edgetest.Server
	start := func(capabilities uint32) []edgetest.Piece {
		return []edgetest.Piece{
			say(Greeting("8.0.36")), ask(Login(capabilities, "correct horse", secret+"123456", "shop")), say(Packet(2, OK(0, 2, ""))),
		}
	}
	return []edgetest.Conversation{
		{
			Name: "texts",
			Pieces: append(start(Usual),
				ask(Command(3, "SELECT a FROM t WHERE b = 'battery staple'")),
				say(Packets(1, "\x01", Definition("column of secrets"), EOF(2), Row("row of hunter2"), Row("row of hunter2"), EOF(2))),
				ask(Command(3, "UPDATE t SET a = 'battery staple'")), say(Packet(1, OK(1, 2, "Rows matched: 1 "+secret))),
				ask(Command(3, "SELEC \"battery staple\"")), say(Packet(1, Error(1064, "42000", "You have an error near "+secret))),
				ask(Command(2, "other")), say(Packet(1, OK(0, 2, ""))),
				ask(Command(9, "")), say(Packet(1, "Uptime: 1 "+secret)),
				ask(Command(0x11, "correct horse\x00"+text(secret)+"third\x00\x2d\x00mysql_native_password\x00")), say(Packet(1, OK(0, 2, ""))),
				ask(Command(1, ""))),
			Secrets: []string{
				"correct horse", secret, secret + "123456", "CHALLENG", "challenge123", "column of secrets", "row of hunter2",
			},
			Literals: []string{"battery staple"},
			Kept: []string{
				"8.0.36", "shop\x00", "SELECT a FROM t WHERE b = '**************'", "UPDATE t SET a = '", "\xff\x28\x04#42000", "other", "third\x00",
			},
		},
		{
			Name: "prepared, where EOF packets are deprecated",
			Pieces: append(start(Usual|DeprecateEOF|QueryAttributes),
				ask(Command(0x16, "SELECT a FROM t WHERE b = ? AND c = 'battery staple'")),
				say(Packets(1, PreparedOK(5, 1, 1), Definition("?"), Definition("column of secrets"))),
				ask(Execute(5, "\x00\x01\xfd\x00"+text(secret))),
				say(Packets(1, "\x01", Definition("column of secrets"), "\x00\x00"+text("row of hunter2"), EndOfRows(2))),
				ask(Packet(0, "\x18"+number(4, 5)+number(2, 0)+secret)+Execute(5, "\x00\x00")),
				say(Packets(1, "\x01", Definition("a"), EndOfRows(10), OK(3, 2, ""))),
				ask(Command(3, "\x00\x01SELECT 'battery staple'")), say(Packets(1, "\x01", Definition("a"), Row("row of hunter2"), EndOfRows(2))),
				ask(Command(3, "\x01\x01\x00\x01\xfd\x00\x04name"+text(secret)+"SELECT 1")), say(Packet(1, OK(0, 2, ""))),
				ask(Command(3, "\x03\x01\x02\x01\xfe\x00\x0btraceparent\x08\x00\x04size\x0f\x00\x06secret\x3700-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"+
					text(secret)+"DELETE FROM t WHERE a = 'battery staple'")), say(Packet(1, OK(0, 2, ""))),
				ask(Command(3, "\x00\x01LOAD DATA LOCAL INFILE 'battery staple' INTO TABLE t")), say(Packet(1, "\xfb/etc/"+secret)),
				ask(Packet(2, secret)+Packet(3, secret)+Packet(4, "")), say(Packet(5, OK(2, 2, ""))),
				ask(Command(0x19, number(4, 5))+Command(0x0e, "")), say(Packet(1, OK(0, 2, "")))),
			Secrets:  []string{"correct horse", secret, "CHALLENG", "challenge123", "column of secrets", "row of hunter2"},
			Literals: []string{"battery staple"},
			Kept: []string{
				"SELECT a FROM t WHERE b = ? AND c = '**************'", "*SELECT 0", "traceparent", "*DELETE FROM t WHERE a = '**************'",
				"\x3700-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\x0e**************", "\x17\x05\x00\x00\x00\x00\x01\x00\x00\x00", "\x00\x01SELECT '", "LOAD DATA LOCAL INFILE '",
			},
			Masks: "0",
		},
		{
			Name: "several results, cursors, bulk executions, pipelines of MariaDB",
			Pieces: append(start(Usual),
				ask(Command(3, "SELECT 1; UPDATE t SET a = 'battery staple'; SELECT 2")),
				say(Packets(1, "\x02", Definition("a"), Definition("b"), EOF(10), Row("row of hunter2", "x"), EOF(10))+
					Packets(7, OK(1, 10, ""), "\x01", Definition("a"), EOF(2), Row("row of hunter2"), Row(""), EOF(2))),
				ask(Command(3, "USE `elsewhere`")), say(Packet(1, OK(0, 2, ""))),
				ask(Command(0x16, "SELECT FROM WHERE")), say(Packet(1, Error(1064, "42000", "near "+secret))),
				ask(Command(0x16, "INSERT INTO t VALUES (?)")+Command(0x16, "DELETE FROM t WHERE a = ?")+Execute(0xffffffff, text(secret))),
				say(Packets(1, PreparedOK(1, 0, 1), Definition("?"), EOF(2))+Packets(1, PreparedOK(2, 0, 1), Definition("?"), EOF(2))+Packet(1, OK(1, 2, ""))),
				ask(Command(0xfa, number(4, 1)+"\x80\x00"+text(secret))), say(Packet(1, OK(9, 2, ""))),
				ask(Command(0x16, "SELECT a FROM t")), say(Packets(1, PreparedOK(3, 1, 0), Definition("a"), EOF(2))),
				ask(Command(0x17, number(4, 3)+"\x01\x01\x00\x00\x00")), say(Packets(1, "\x01", Definition("a"), EOF(0x42))),
				ask(Command(0x1c, number(4, 3)+number(4, 10))), say(Packets(1, "\x00\x00"+text("row of hunter2"), EOF(0xc2))),
				ask(Command(4, "t\x00")), say(Packets(1, Definition("a"), EOF(2))),
				ask(Command(0x1f, "")), say(Packet(1, OK(0, 2, ""))),
				ask(Execute(4, "")), say(Packet(1, Error(1243, "HY000", "Unknown prepared statement handler")))),
			Secrets:  []string{"correct horse", secret, "CHALLENG", "challenge123", "row of hunter2"},
			Literals: []string{"battery staple"},
			Masks:    "0",
			Kept:     []string{"UPDATE t SET a = '", "INSERT INTO t VALUES (?)", "\xfa\x01\x00\x00\x00\x80\x00"},
		},
		compressed(start(Usual | Compress)[:2]),
		{
			Name: "a client that claims what the server does not offer",
			Pieces: []edgetest.Piece{
				say(Offer("11.4.2-MariaDB", Usual)), ask(Login(Usual|DeprecateEOF|QueryAttributes, "correct horse", secret, "shop")), say(Packet(2, OK(0, 2, ""))),
				ask(Command(3, "SELECT a FROM t WHERE b = 'battery staple'")),
				say(Packets(1, "\x01", Definition("column of secrets"), EOF(2), Row("row of hunter2"), Row("row of hunter2"), EOF(2))),
				ask(Command(3, "UPDATE t SET a = 'battery staple'")), say(Packet(1, OK(1, 2, ""))),
			},
			Secrets:  []string{"correct horse", secret, "CHALLENG", "challenge123", "column of secrets", "row of hunter2"},
			Literals: []string{"battery staple"},
			Kept:     []string{"SELECT a FROM t WHERE b = '**************'", "UPDATE t SET a = '"},
		},
		{
			Name: "encrypted",
			Pieces: []edgetest.Piece{
				say(Greeting("11.4.2-MariaDB")), ask(Packet(1, number(4, Usual|SSL)+number(4, 1<<24)+"\x2d"+strings.Repeat("\x00", 23))), ask(secret), say(secret),
			},
			Secrets: []string{secret}, Kept: []string{"11.4.2-MariaDB"},
		},
	}
}
