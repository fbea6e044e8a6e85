package conversations

import (
	"bytes"
	"compress/zlib"
	"strings"

	"millrace.dev/protocols/edge/edgetest"
)

// Wrap makes a packet of the compressed protocol that holds text: deflated, or stored as it is.
func Wrap(sequence byte, text string, deflate bool) string {
	held, size := text, 0
	if deflate {
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		_, _ = w.Write([]byte(text)) // to memory
		_ = w.Close()
		held, size = b.String(), len(text)
	}
	n := len(held)
	return string([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence, byte(size), byte(size >> 8), byte(size >> 16)}) + held
}

// compressed goes on behind a login that agrees on compression.
func compressed(login []edgetest.Piece) edgetest.Conversation {
	ask, say := edgetest.Client, edgetest.Server
	long := "INSERT INTO t VALUES ('battery staple'" + strings.Repeat(", ('battery staple')", 2000) + ")"
	rows := []string{"\x01", Definition("column of secrets"), EOF(2)}
	for range 300 {
		rows = append(rows, Row("row of hunter2"))
	}
	answer := Packets(1, append(rows, EOF(2))...)
	return edgetest.Conversation{
		Name: "compressed",
		Pieces: append(login,
			say(Packet(2, OK(0, 2, "what changed: "+secret))),
			ask(Wrap(0, Command(3, "SELECT 'battery staple'"), false)),
			say(Wrap(1, Packets(1, "\x01", Definition("a"), EOF(2), Row("row of hunter2"), EOF(2)), true)),
			ask(Wrap(0, Command(3, "SELECT a FROM t WHERE b = 'battery staple' AND c IN (1, 2, 3, 4, 5)"), true)),
			say(Wrap(1, answer[:1001], true)+Wrap(2, answer[1001:4000], true)), say(Wrap(3, answer[4000:], true)),
			ask(Wrap(0, Command(3, long), true)), say(Wrap(1, Packet(1, Error(1146, "42S02", "Table 'shop.hunter2hunter2' does not exist")), false)),
			ask(Wrap(0, Command(0x16, "SELECT a FROM t WHERE b = ? AND c = 'battery staple'"), true)),
			say(Wrap(1, Packets(1, PreparedOK(5, 1, 1), Definition("?"), EOF(2), Definition("a"), EOF(2)), true)),
			ask(Wrap(0, Execute(5, "\x00\x01\xfd\x00"+text(secret)), false)), say(Wrap(1, Packets(1, "\x01", Definition("a"), EOF(2), EOF(2)), true)),
			ask(Wrap(0, Command(1, ""), false))),
		Secrets:  []string{"correct horse", secret, "CHALLENG", "challenge123", "column of secrets", "row of hunter2"},
		Literals: []string{"battery staple"},
		Masks:    "0",
		Kept: []string{
			"8.0.36", "SELECT a FROM t WHERE b = '**************'", "INSERT INTO t VALUES ('**", "SELECT a FROM t WHERE b = ? AND c = '", "\xff\x7a\x04#42S02",
		},
	}
}
