package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// framedPair attaches with the protocols of these tests and connects two children.
func framedPair(t *testing.T, o Options) (r *recorder, client, server *child, from, to int) {
	t.Helper()
	o.protocols = []*protocols.Protocol{framed(), greeting(), preface()}
	return pair(t, o)
}

// begins lets a client of the protocol framed say its first frame.
func begins(client, server *child, from, to int) {
	client.do(command{Do: "write", FD: from, Data: []byte("\x00\x00\x00\x08hi!!")})
	server.do(command{Do: "sink", FD: to, Size: 8})
}

// A frame costs as much as its head, however long it is, and many of them cost as much as their heads.
func TestLargeFrames(t *testing.T) {
	const size = 100 << 20
	r, client, server, from, to := framedPair(t, Options{})
	begins(client, server, from, to)
	one := &spoken{}
	one.typed('d', 50000, 5)
	binary.BigEndian.PutUint32(one.bytes[1:], size-1)
	server.begin(command{Do: "sink", FD: to, Size: size + 6})
	client.do(command{Do: "write", FD: from, Data: one.bytes})
	client.do(command{Do: "pump", FD: from, Size: size - len(one.bytes), Data: bytes.Repeat([]byte("v"), 200_000)})
	client.do(command{Do: "write", FD: from, Data: []byte("Q\x00\x00\x00\x05q")})
	server.end()
	many := &spoken{}
	for range 800 {
		many.typed('d', 16384, 5)
	}
	server.begin(command{Do: "sink", FD: to, Size: 8 * len(many.bytes)})
	for range 8 { // 100 MiB again
		client.do(command{Do: "write", FD: from, Data: many.bytes})
	}
	server.end()
	sum := uint64(8 + size + 6 + 8*len(many.bytes))
	r.waitBytes(t, client, sum, Send)
	r.waitBytes(t, server, sum, Receive)
	for name, events := range map[string][]Event{"sent": r.of(client, Send), "received": r.of(server, Receive)} {
		if n := total(t, events); n != sum {
			t.Errorf("%s: %d bytes of %d", name, n, sum)
		}
		var big, small int
		var calls int
		for _, e := range events {
			if e.Offset < size {
				big += len(e.Payload)
			} else {
				small += len(e.Payload)
			}
			if e.Flags&64 == 0 {
				calls++
			}
			if end := e.Offset + uint64(e.Length); end == 8+size+6 && !bytes.Equal(e.Payload[max(0, len(e.Payload)-6):], []byte("Q\x00\x00\x00\x05q")) {
				t.Errorf("%s: the small frame behind the large one ends with %q", name, e.Payload)
			}
		}
		if big > 2000 {
			t.Errorf("%s: %d bytes of a frame are shipped of which 5 are wanted", name, big)
		}
		if least, most := 6400*5, 6400*5+calls*1024; small < least || small > most {
			t.Errorf("%s: %d bytes are shipped of 6,400 frames, at least %d and at most %d are right", name, small, least, most)
		}
		if len(events) > calls+6400/8 {
			t.Errorf("%s: %d records of %d calls", name, len(events), calls)
		}
	}
}

// Small frames are shipped whole, and followed, however many there are in a call.
func TestManyFrames(t *testing.T) {
	r, client, server, from, to := framedPair(t, Options{})
	begins(client, server, from, to)
	said := &spoken{}
	said.raw("\x00\x00\x00\x08hi!!")
	first := len(said.bytes)
	for range 100_000 {
		said.typed('Q', 6, whole)
	}
	for range 1000 {
		said.typed('d', 900, 5)
	}
	said.typed('d', 1<<20, 5)
	said.typed('Q', 2000, whole)
	rest := &spoken{bytes: said.bytes[first:]}
	rest.send(client, server, from, to, len(rest.bytes), 1<<20)
	r.waitBytes(t, client, uint64(len(said.bytes)), Send)
	r.waitBytes(t, server, uint64(len(said.bytes)), Receive)
	for _, events := range [][]Event{r.of(client, Send), r.of(server, Receive)} {
		said.check(t, "many frames", events)
		if n := shippedBytes(events); n > len(said.bytes)-1<<20+20_000 {
			t.Errorf("%d bytes are shipped of %d", n, len(said.bytes))
		}
	}
}

// The server speaks first. Of what it sends heads alone are wanted.
func TestGreeting(t *testing.T) {
	r, client, server, from, to := framedPair(t, Options{})
	frame := func(s *spoken, n, copied int) {
		s.frame(append(binary.LittleEndian.AppendUint32(nil, uint32(n-4))[:3], 1), n, copied)
	}
	answers, asks := &spoken{}, &spoken{}
	answers.frame([]byte("\x0a8\x00\x00"), 0x380a+4, 100)
	frame(asks, 70, whole)
	for range 20 {
		frame(asks, 30_000, whole)
		frame(answers, 4, whole) // an empty one
		frame(answers, 50_000, 100)
		frame(answers, 300, 100)
	}
	half := 0x380a + 4
	(&spoken{bytes: answers.bytes[:half]}).send(server, client, to, from, 5000, 4096)
	asks.send(client, server, from, to, 10_000, 4096)
	(&spoken{bytes: answers.bytes[half:]}).send(server, client, to, from, 1<<20, 4096)
	for name, events := range map[string][]Event{"asks": r.waitAll(t, client, asks, Send), "asked": r.waitAll(t, server, asks, Receive)} {
		asks.check(t, name, events)
	}
	for name, events := range map[string][]Event{"answers": r.waitAll(t, server, answers, Send), "answered": r.waitAll(t, client, answers, Receive)} {
		answers.check(t, name, events)
		if n, most := shippedBytes(events), answers.most(); n > most {
			t.Errorf("%s: %d bytes are shipped of %d, %d would do", name, n, len(answers.bytes), most)
		}
	}
}

// waitAll waits until all of s has come as events of the kind, and gives these.
func (r *recorder) waitAll(t *testing.T, c *child, s *spoken, kind Kind) []Event {
	t.Helper()
	r.waitBytes(t, c, uint64(len(s.bytes)), kind)
	return r.of(c, kind)
}

// Where the first bytes could be many things nothing is left out until the node says what the connection speaks; then
// the position is known at once.
func TestFramesOfOpenings(t *testing.T) {
	const size = 30_000
	for _, says := range []millracev1.Protocol{millracev1.Protocol_PROTOCOL_HTTP2, millracev1.Protocol_PROTOCOL_REDIS, millracev1.Protocol_PROTOCOL_UNKNOWN} {
		r, client, server, from, to := framedPair(t, Options{})
		asks := &spoken{}
		asks.raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		data := func(n int) {
			asks.frame([]byte{byte(size >> 16), byte(size >> 8), byte(size & 0xff), 0, 0, 0, 0, 0, 1}, size+9, n)
		}
		data(whole)
		half := len(asks.bytes) - 5 // the end of the frame comes with the verdict
		for range 20 {
			data(14)
		}
		(&spoken{bytes: asks.bytes[:half]}).send(client, server, from, to, 7000, 65536)
		for _, c := range []*child{client, server} {
			kind := Send
			if c == server {
				kind = Receive
			}
			r.waitBytes(t, c, uint64(half), kind)
			if events := r.of(c, kind); shippedBytes(events) != half {
				t.Errorf("%d of %d bytes are shipped before the verdict", shippedBytes(events), half)
			}
			if err := r.SetVerdict(r.of(c, kind)[0].Connection.Socket, says, false); err != nil {
				t.Fatal(err)
			}
		}
		if says == millracev1.Protocol_PROTOCOL_UNKNOWN {
			continue
		}
		(&spoken{bytes: asks.bytes[half:]}).send(client, server, from, to, 100_000, 65536)
		for _, events := range [][]Event{r.waitAll(t, client, asks, Send), r.waitAll(t, server, asks, Receive)} {
			followed := says == millracev1.Protocol_PROTOCOL_HTTP2
			if n := total(t, events); n != uint64(len(asks.bytes)) {
				t.Errorf("%v: %d bytes of %d", says, n, len(asks.bytes))
			}
			if followed {
				asks.check(t, "followed", events)
			}
			if n := shippedBytes(events); followed && n > half+20*2000 {
				t.Errorf("%v: %d bytes are shipped", says, n)
			}
		}
		r.Close()
	}
}

// Where the position is lost, or was never known, heads of events are shipped, and offsets stay exact.
func TestFramesLost(t *testing.T) {
	large := &spoken{}
	for range 20 {
		large.typed('d', 100_000, 5)
	}
	for name, spoil := range map[string]func(client, server *child, from, to int){
		"a length that cannot be": func(client, server *child, from, to int) {
			client.do(command{Do: "write", FD: from, Data: bytes.Repeat([]byte("Q\xff\xff\xff\xff"), 3)})
			server.do(command{Do: "sink", FD: to, Size: 15})
		},
		"a header without a buffer": func(client, server *child, from, to int) {
			client.do(command{Do: "sendfile", FD: from, Data: bytes.Repeat([]byte("Q\x00\x00\x00\x04"), 3)})
			server.do(command{Do: "splicein", FD: to, Size: 15})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, client, server, from, to := framedPair(t, Options{})
			begins(client, server, from, to)
			spoil(client, server, from, to)
			large.send(client, server, from, to, 1<<20, 65536)
			sum := uint64(8 + 15 + len(large.bytes))
			r.waitBytes(t, client, sum, Send)
			r.waitBytes(t, server, sum, Receive)
			for _, events := range [][]Event{r.of(client, Send), r.of(server, Receive)} {
				if n := total(t, events); n != sum {
					t.Errorf("%d bytes of %d", n, sum)
				}
				if n := shippedBytes(events); n < 64<<10 || n > 64<<10+2048*len(events) {
					t.Errorf("%d bytes are shipped in %d events", n, len(events))
				}
			}
		})
	}
	t.Run("joined", func(t *testing.T) {
		client, server := newChild(t, nil), newChild(t, nil)
		from, to := connect(client, server, "127.0.0.1:0", "")
		begins(client, server, from, to)
		r := record(t, Options{protocols: []*protocols.Protocol{framed()}})
		// A first frame in the middle of a connection tells the protocol, but no position.
		client.do(command{Do: "write", FD: from, Data: []byte("\x00\x00\x00\x08hi!!")})
		server.do(command{Do: "sink", FD: to, Size: 8})
		large.send(client, server, from, to, 1<<20, 65536)
		sum := uint64(8 + len(large.bytes))
		r.waitBytes(t, client, sum, Send)
		r.waitBytes(t, server, sum, Receive)
		for _, events := range [][]Event{r.of(client, Send), r.of(server, Receive)} {
			if events[0].Offset != 8 {
				t.Errorf("begins at %d", events[0].Offset)
			}
			if n := shippedBytes(events); n < 64<<10 || n > 64<<10+2048*len(events) {
				t.Errorf("%d bytes are shipped in %d events", n, len(events))
			}
		}
	})
}

// Beyond what may be shipped of a call frames are followed all the same.
func TestFramesPayloadBytes(t *testing.T) {
	for _, limit := range []int{64, 3000, 100_000} {
		r, client, server, from, to := framedPair(t, Options{PayloadBytes: limit})
		begins(client, server, from, to)
		call := &spoken{}
		for range 300 {
			call.typed('Q', 1500, whole)
		}
		call.typed('d', 200_000, 5)
		small := "Q\x00\x00\x00\x14a small question"
		for range 3 {
			server.begin(command{Do: "sink", FD: to, Size: len(call.bytes)})
			client.do(command{Do: "write", FD: from, Data: call.bytes})
			server.end()
		}
		client.do(command{Do: "write", FD: from, Data: []byte(small)})
		server.do(command{Do: "sink", FD: to, Size: len(small)})
		large := &spoken{}
		large.typed('d', 400_000, 5)
		server.begin(command{Do: "sink", FD: to, Size: len(large.bytes)})
		client.do(command{Do: "write", FD: from, Data: large.bytes})
		server.end()
		r.waitBytes(t, client, uint64(8+3*len(call.bytes)+len(small)+len(large.bytes)), Send)
		shipped := map[uint64]int{}
		events := r.of(client, Send)
		total(t, events)
		for _, e := range events {
			shipped[e.TimeNS] += len(e.Payload)
		}
		if len(shipped) != 6 {
			t.Errorf("limit %d: %d calls", limit, len(shipped))
		}
		for _, n := range shipped {
			if n > limit {
				t.Errorf("limit %d: %d bytes were shipped of a call", limit, n)
			}
		}
		if n := len(events[len(events)-1].Payload); n != min(5, limit) {
			t.Errorf("limit %d: %d bytes are shipped of the last frame, of which 5 are wanted", limit, n)
		}
		r.Close()
	}
}

// Unix-domain sockets, and several messages of one call.
func TestFramesElsewhere(t *testing.T) {
	r := record(t, Options{protocols: []*protocols.Protocol{framed()}})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	for name, address := range map[string]string{"TCP": "127.0.0.1:0", "Unix": fmt.Sprintf("@millrace-frames-%d", unix.Getpid())} {
		dial := ""
		if name == "Unix" {
			dial = address
		}
		from, to := connect(client, server, address, dial)
		said := &spoken{}
		said.raw("\x00\x00\x00\x08hi!!")
		said.typed('Q', 100, whole)
		said.typed('d', 90_000, 5)
		said.typed('Q', 3000, whole)
		said.typed('d', 90_000, 5)
		server.begin(command{Do: "sink", FD: to, Size: len(said.bytes)})
		client.do(command{Do: "write", FD: from, Data: said.bytes[:8]})
		client.do(command{Do: "sendmmsg", FD: from, Data: said.bytes[8:], Split: []int{3, 200, 80_000, 10_002, 2000}})
		server.end()
		for _, events := range [][]Event{r.waitAll(t, client, said, Send), r.waitAll(t, server, said, Receive)} {
			said.check(t, name, events)
			if n := shippedBytes(events); n > 3113+6000 {
				t.Errorf("%s: %d bytes are shipped", name, n)
			}
		}
		r.forget()
	}
}

// TestUpgradedFrames: behind an upgrade frames are followed from where user space says that they begin, and not where
// more has moved already.
func TestUpgradedFrames(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	ask, answer := "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"
	asks, answers := &spoken{}, &spoken{}
	asks.raw(ask)
	answers.raw(answer)
	asks.send(client, server, from, to, 1000, 1000)
	answers.send(server, client, to, from, 1000, 1000)
	frame := func(s *spoken, first byte, masked bool, n int) {
		head, mask := []byte{first, 0}, byte(0)
		if masked {
			mask = 0x80
		}
		switch {
		case n >= 1<<16:
			head[1] = mask | 127
			head = binary.BigEndian.AppendUint64(head, uint64(n))
		case n >= 126:
			head[1] = mask | 126
			head = binary.BigEndian.AppendUint16(head, uint16(n))
		default:
			head[1] = mask | byte(n)
		}
		copied := len(head)
		if masked {
			n += 4
		}
		if first == 0x88 {
			copied = len(head) + 6
		}
		s.frame(head, len(head)+n, copied)
	}
	for range 10 {
		for _, n := range []int{0, 1, 125, 126, 3000, 65535, 65536, 200_000, 70, 5000} {
			frame(asks, 0x82, true, n)
			frame(answers, 0x01, false, n)
			frame(answers, 0x80, false, n)
		}
	}
	frame(asks, 0x88, true, 20)
	// place says where frames begin, and wants both ends to follow them already, or not.
	place := func(asked, answered, ahead int, want bool) {
		t.Helper()
		for c, kinds := range map[*child][2]Kind{client: {Send, Receive}, server: {Receive, Send}} {
			r.waitBytes(t, c, uint64(asked), kinds[0])
			r.waitBytes(t, c, uint64(answered), kinds[1])
			next := [2]NextFrame{{Offset: uint64(asked + ahead)}, {Offset: uint64(answered + ahead)}}
			if c == server {
				next[0], next[1] = next[1], next[0]
			}
			socket := r.of(c, Send)[0].Connection.Socket
			if followed, err := r.PlaceFrames(socket, millracev1.Protocol_PROTOCOL_HTTP1, c == client, next); err != nil || followed != [2]bool{want, want} {
				t.Errorf("place at %d and %d: %v, %v", asked, answered, followed, err)
			}
		}
	}
	pass := func(asked, moreAsked, answered, moreAnswered int) {
		(&spoken{bytes: asks.bytes[asked : asked+moreAsked]}).send(client, server, from, to, 60_000, 4096)
		(&spoken{bytes: answers.bytes[answered : answered+moreAnswered]}).send(server, client, to, from, 60_000, 65536)
	}
	asked, answered := len(ask), len(answer)
	place(asked, answered, -1, false) // more has moved, which the next event finds out
	pass(asked, 6, answered, 4)
	asked, answered = asked+6, answered+4
	place(asked, answered, 0, false)
	pass(asked, 7, answered, 6)
	asked, answered = asked+7, answered+6
	place(asked, answered, 0, true)
	pass(asked, len(asks.bytes)-asked, answered, len(answers.bytes)-answered)
	for name, events := range map[string][]Event{"asks": r.waitAll(t, client, asks, Send), "asked": r.waitAll(t, server, asks, Receive)} {
		asks.check(t, name, events)
	}
	for name, events := range map[string][]Event{"answers": r.waitAll(t, server, answers, Send), "answered": r.waitAll(t, client, answers, Receive)} {
		answers.check(t, name, events)
		if n := shippedBytes(events); n > len(answers.bytes)/4 {
			t.Errorf("%s: %d bytes are shipped of %d", name, n, len(answers.bytes))
		}
	}
}

// TestFramesGivenUpTogether: where what the client says behind the answer to its question is no first frame, the ends
// have agreed on something else. All of it is shipped, and what the server says is no frame either, whatever it looks
// like.
func TestFramesGivenUpTogether(t *testing.T) {
	r, client, server, from, to := framedPair(t, Options{})
	asks, answers := &spoken{}, &spoken{}
	asks.raw("\x00\x00\x00\x08may?")
	answers.raw("S")
	asks.send(client, server, from, to, 1000, 1000)
	answers.send(server, client, to, from, 1000, 1000)
	hello, answered := len(asks.bytes), len(answers.bytes)
	asks.raw("\x16\x03\x01\x02\x00" + strings.Repeat("c", 40_000))
	answers.raw("\x16\x03\x03\x00\x7a" + strings.Repeat("s", 3000))
	(&spoken{bytes: asks.bytes[hello:]}).send(client, server, from, to, 60_000, 60_000)
	(&spoken{bytes: answers.bytes[answered:]}).send(server, client, to, from, 100, 100)
	for name, events := range map[string][]Event{"asks": r.waitAll(t, client, asks, Send), "asked": r.waitAll(t, server, asks, Receive)} {
		asks.check(t, name, events)
	}
	for name, events := range map[string][]Event{"answers": r.waitAll(t, server, answers, Send), "answered": r.waitAll(t, client, answers, Receive)} {
		answers.check(t, name, events)
	}
}
