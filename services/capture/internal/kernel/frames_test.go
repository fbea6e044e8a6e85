package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
)

// framed is a protocol made up for these tests, with everything that protocols.Frames can say. It is like PostgreSQL:
// the client asks whether it may encrypt, is told no by one byte, and sends a first frame without a type.
func framed() *protocols.Protocol {
	again := protocols.Text("\x00\x00\x00\x08may?")
	return &protocols.Protocol{
		Number: millracev1.Protocol_PROTOCOL_POSTGRESQL, Name: "framed", Decoded: true,
		Matches: []protocols.Match{again, protocols.Match{Least: 4}.Then(0xff, 'h').Then(0xff, 'i')},
		Frames: &protocols.Frames{
			Header: protocols.FrameHeader{Size: 5, LengthAt: 1, LengthSize: 4, Add: 1, Most: 200 << 20},
			First: protocols.First{
				Header: protocols.FrameHeader{Size: 8, LengthSize: 4, Most: 10000}, Again: []protocols.Match{again}, Answer: 1,
			},
			Client: protocols.Copy{Types: map[byte]int{'d': 5}},
			Server: protocols.Copy{Types: map[byte]int{'D': 7, 'd': 5, 'T': 2000}},
		},
	}
}

// greeting is another: the server speaks first, lengths are little-endian without their header, and only the heads of
// the server's frames are shipped.
func greeting() *protocols.Protocol {
	return &protocols.Protocol{
		Number: millracev1.Protocol_PROTOCOL_MYSQL, Name: "greeting", Decoded: true,
		Matches: []protocols.Match{protocols.Match{}.Then(0xff, 0x0a).Then(0xf0, 0x30).By(protocols.Server)},
		Frames: &protocols.Frames{
			Header: protocols.FrameHeader{Size: 4, LengthSize: 3, Little: true, Add: 4},
			Server: protocols.Copy{Bytes: 100},
		},
	}
}

// preface is a third, whose client sends 24 bytes that are no frame. It is only known by what the node says.
func preface() *protocols.Protocol {
	return &protocols.Protocol{
		Number: millracev1.Protocol_PROTOCOL_HTTP2, Name: "preface", Decoded: true,
		Matches: []protocols.Match{protocols.Text("PRI * H").AtOpening()},
		Frames: &protocols.Frames{
			Header: protocols.FrameHeader{Size: 9, LengthSize: 3, Add: 9, TypeAt: 3},
			First:  protocols.First{Bytes: 24},
			Client: protocols.Copy{Types: map[byte]int{0: 14}},
			Server: protocols.Copy{Types: map[byte]int{0: 14}},
		},
	}
}

// spoken is what one end sends: the bytes, and which of them must be shipped.
type spoken struct {
	bytes  []byte
	wanted []span
	frames int
}

type span struct{ from, to int }

func (t *spoken) raw(b string) {
	t.wanted = append(t.wanted, span{len(t.bytes), len(t.bytes) + len(b)})
	t.bytes = append(t.bytes, b...)
}

// frame adds a frame of n bytes in all that begins with head, of which copied bytes are wanted.
func (t *spoken) frame(head []byte, n, copied int) {
	at := len(t.bytes)
	t.bytes = append(append(t.bytes, head...), bytes.Repeat([]byte("x"), n-len(head))...)
	t.wanted = append(t.wanted, span{at, at + min(n, copied)})
	t.frames++
}

// typed adds a frame of the protocol framed.
func (t *spoken) typed(kind byte, n, copied int) {
	t.frame(binary.BigEndian.AppendUint32([]byte{kind}, uint32(n-1)), n, copied)
}

const whole = 1 << 30

// check checks that events hold what is wanted, and not much more of large frames.
func (t *spoken) check(tb testing.TB, name string, events []Event) {
	tb.Helper()
	if n := total(tb, events); n != uint64(len(t.bytes)) {
		tb.Errorf("%s: %d bytes of %d", name, n, len(t.bytes))
		return
	}
	seen := stream(events)
	for i, w := range t.wanted {
		if !bytes.Equal(seen[w.from:w.to], t.bytes[w.from:w.to]) {
			at := w.from
			for seen[at] == t.bytes[at] {
				at++
			}
			for _, e := range events {
				if e.Offset <= uint64(at) && uint64(at) < e.Offset+uint64(e.Length) {
					tb.Logf("%s %v", describe([]Event{e}), e.Segments)
				}
			}
			tb.Errorf("%s: bytes %d to %d (%d of %d) are not shipped at %d", name, w.from, w.to, i, len(t.wanted), at)
			return
		}
	}
	for i, b := range seen {
		if b != 0 && b != t.bytes[i] {
			tb.Errorf("%s: at %d is %q, not %q", name, i, b, t.bytes[i])
			return
		}
	}
}

func shippedBytes(events []Event) (n int) {
	for _, e := range events {
		n += len(e.Payload)
	}
	return n
}

// conversation of the protocol framed, with frames of all sizes.
func conversation(seed uint64, frames int) (client, server *spoken) {
	r := rand.New(rand.NewPCG(seed, 1))
	client, server = &spoken{}, &spoken{}
	client.raw("\x00\x00\x00\x08may?")
	server.raw("N")
	client.frame([]byte("\x00\x00\x00\x50hi"), 80, whole)
	for range frames {
		size := []int{5, 6, 20, 300, 1000, 1500, 5000, 20000, 100_000}[r.IntN(9)] + r.IntN(30)
		client.typed("QBd"[r.IntN(3)], size, whole)
		if client.bytes[client.wanted[len(client.wanted)-1].from] == 'd' {
			client.wanted[len(client.wanted)-1].to = client.wanted[len(client.wanted)-1].from + 5
		}
		for range r.IntN(8) {
			size := []int{5, 6, 20, 300, 1000, 1500, 5000, 20000, 100_000}[r.IntN(9)] + r.IntN(30)
			switch r.IntN(4) {
			case 0:
				server.typed('D', size, 7)
			case 1:
				server.typed('d', size, 5)
			case 2:
				server.typed('T', size, 2000)
			default:
				server.typed('Z', size, whole)
			}
		}
	}
	return client, server
}

// send moves the bytes of t in calls of at most size bytes, every other one with several buffers; the other end reads
// at most read bytes at once.
func (t *spoken) send(from, to *child, fromFD, toFD, size, read int) {
	to.begin(command{Do: "drain", FD: toFD, Size: len(t.bytes), Times: read})
	for at := 0; at < len(t.bytes); at += size {
		part := t.bytes[at:min(len(t.bytes), at+size)]
		if at/size%2 == 1 && len(part) > 20 {
			from.do(command{Do: "writev", FD: fromFD, Data: part, Split: []int{1, 0, 3, len(part) / 3, len(part) / 4, 2}})
		} else {
			from.do(command{Do: "write", FD: fromFD, Data: part})
		}
	}
	to.end()
}

func init() {
	// Reads Size bytes in all, at most Times at once, in turns with one buffer and with several.
	childCommands["drain"] = func(c *command) (r reply, err error) {
		data := make([]byte, c.Times)
		for turn := 0; r.N < c.Size; turn++ {
			var n int
			part := data[:min(len(data), c.Size-r.N)]
			if turn%2 == 1 && len(part) > 20 {
				n, err = unix.Readv(c.FD, buffers(part, []int{2, len(part) / 2, 0, 7}))
			} else {
				n, err = unix.Read(c.FD, part)
			}
			if err != nil || n == 0 {
				return r, fmt.Errorf("%d of %d bytes: %w", r.N, c.Size, err)
			}
			r.N += n
		}
		return r, nil
	}
}

// Frames are followed wherever calls cut them, and what is not wanted of large ones is left out.
func TestFrames(t *testing.T) {
	r := record(t, Options{protocols: []*protocols.Protocol{framed(), greeting(), preface()}})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	for seed, size := range []int{1, 3, 7, 100, 511, 700, 4096, 16384, 50021, 1 << 20} {
		asks, answers := conversation(uint64(seed), max(2, min(40, size/4)))
		if size < 100 { // not hundreds of thousands of calls
			asks.cut(3000)
			answers.cut(3000)
		}
		for _, read := range []int{size, 333, 65536} {
			if read < 100 && size > 100 {
				continue
			}
			from, to := connect(client, server, "127.0.0.1:0", "")
			first := &spoken{bytes: asks.bytes[:8]}
			first.send(client, server, from, to, size, read)
			(&spoken{bytes: answers.bytes[:1]}).send(server, client, to, from, size, read)
			(&spoken{bytes: asks.bytes[8:]}).send(client, server, from, to, size, read)
			(&spoken{bytes: answers.bytes[1:]}).send(server, client, to, from, size, read)
			name := fmt.Sprintf("calls of %d and %d bytes: ", size, read)
			for _, end := range []struct {
				name   string
				c      *child
				kind   Kind
				spoken *spoken
			}{
				{"client sends", client, Send, asks},
				{"server receives", server, Receive, asks},
				{"server sends", server, Send, answers},
				{"client receives", client, Receive, answers},
			} {
				r.waitBytes(t, end.c, uint64(len(end.spoken.bytes)), end.kind)
				events := r.of(end.c, end.kind)
				end.spoken.check(t, name+end.name, events)
				if most := end.spoken.most(); shippedBytes(events) > most {
					t.Errorf("%s%s: %d bytes are shipped of %d, %d would do", name, end.name, shippedBytes(events), len(end.spoken.bytes), most)
				}
			}
			r.forget()
			client.do(command{Do: "close", FD: from})
			server.do(command{Do: "close", FD: to})
		}
	}
}

// cut leaves the first n bytes.
func (t *spoken) cut(n int) {
	if len(t.bytes) <= n {
		return
	}
	t.bytes = t.bytes[:n]
	for i, w := range t.wanted {
		if w.to > n {
			t.wanted = t.wanted[:i]
			break
		}
	}
}

// most is how much may be shipped: what is wanted, and what is read with it.
func (t *spoken) most() int {
	n := 2000
	for _, w := range t.wanted {
		n += w.to - w.from + 1024 + 512
	}
	return n
}

// forget drops the events so far.
func (r *recorder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = nil
}
