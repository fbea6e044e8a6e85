package websocket

import (
	"fmt"
	"testing"

	"millrace.dev/protocols"
)

// feed reads text in pieces of a size, of which what is not needed is not there. It gives what was understood.
func feed(from protocols.End, text string, size int) string {
	r := Reader{From: from}
	for rest := text; rest != "" && !r.Over(); {
		piece := rest[:min(size, len(rest))]
		rest = rest[len(piece):]
		for piece != "" && !r.Over() {
			n := 0
			if needs := r.Needs(); needs > 0 {
				n = r.Read([]byte(piece[:min(len(piece), needs)]))
			} else {
				n = int(r.Skip(uint64(len(piece))))
			}
			piece = piece[n:]
			again := Reader{}
			if !again.Import(r.Export()) || again != r {
				return fmt.Sprintf("state %+v comes back as %+v", r, again)
			}
		}
	}
	return fmt.Sprintf("%d messages, %d bytes, code %d, closed %v, broken %v", r.Messages, r.Bytes, r.Code, r.Closed, r.Broken)
}

// TestTable: frames as RFC 6455 has them, and what is none.
func TestTable(t *testing.T) {
	t.Parallel()
	const client, server = protocols.Client, protocols.Server
	zeros := func(n int) string { return string(make([]byte, n)) }
	for _, test := range []struct {
		from       protocols.End
		text, want string
	}{
		// Examples of section 5.7.
		{server, "\x81\x05Hello", "1 messages, 5 bytes, code 0, closed false, broken false"},
		{client, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "1 messages, 5 bytes, code 0, closed false, broken false"},
		{server, "\x01\x03Hel\x80\x02lo", "1 messages, 5 bytes, code 0, closed false, broken false"},
		{server, "\x89\x05Hello", "0 messages, 0 bytes, code 0, closed false, broken false"},
		{server, "\x82\x7e\x01\x00" + zeros(256), "1 messages, 256 bytes, code 0, closed false, broken false"},
		{server, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + zeros(1<<16), "1 messages, 65536 bytes, code 0, closed false, broken false"},
		// Control frames between the frames of a message; a message that is not complete.
		{server, "\x01\x03Hel\x8a\x01x\x80\x02lo\x02\x09half", "1 messages, 9 bytes, code 0, closed false, broken false"},
		{server, "\x81\x00\x82", "1 messages, 0 bytes, code 0, closed false, broken false"},
		// RFC 7692, section 7.2.3.1.
		{server, "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", "1 messages, 7 bytes, code 0, closed false, broken false"},
		// Close frames: with a code, masked, empty; nothing is read behind them.
		{server, "\x88\x05\x03\xe8bye\x81\x01x", "0 messages, 0 bytes, code 1000, closed true, broken false"},
		{client, "\x88\x82\x01\x02\x03\x04\x02\xeb", "0 messages, 0 bytes, code 1001, closed true, broken false"},
		{server, "\x88\x00", "0 messages, 0 bytes, code 0, closed true, broken false"},
		// What is no frame.
		{client, "\x81\x05Hello", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x80\x01x", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x01\x01x\x81\x01x", "0 messages, 1 bytes, code 0, closed false, broken true"},
		{server, "\x83\x01x", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\xa1\x01x", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x09\x01x", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x88\x01x", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x89\x7e\x00\x80", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x81\x7e\x00\x01x", "0 messages, 0 bytes, code 0, closed false, broken true"},
		{server, "\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "0 messages, 0 bytes, code 0, closed false, broken true"},
	} {
		for _, size := range []int{1, 2, 3, 5, 1 << 20} {
			if got := feed(test.from, test.text, size); got != test.want {
				t.Errorf("%.20q in pieces of %d: %s, want %s", test.text, size, got, test.want)
			}
		}
	}
}

// FuzzReader: bytes are counted alike however they are cut, and states are what Import takes.
func FuzzReader(f *testing.F) {
	f.Add([]byte("\x81\x05Hello\x01\x03Hel\x80\x02lo\x88\x02\x03\xe8"), byte(1), false)
	f.Add([]byte("\x88\x82\x01\x02\x03\x04\x02\xeb"), byte(2), true)
	f.Fuzz(func(t *testing.T, b []byte, size byte, client bool) {
		from := protocols.Server
		if client {
			from = protocols.Client
		}
		if whole, cut := feed(from, string(b), len(b)+1), feed(from, string(b), int(size)+1); whole != cut {
			t.Errorf("%s whole, %s in pieces of %d", whole, cut, int(size)+1)
		}
	})
}
