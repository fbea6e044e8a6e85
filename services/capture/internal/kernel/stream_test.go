package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/all"
)

// pair attaches and gives two connected children.
func pair(t testing.TB, options Options) (r *recorder, client, server *child, from, to int) {
	t.Helper()
	r = record(t, options)
	client, server = newChild(t, r.Kernel), newChild(t, r.Kernel)
	from, to = connect(client, server, "127.0.0.1:0", "")
	return
}

func TestPeekAndErrors(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	server.do(command{Do: "nonblock", FD: to})
	server.begin(command{Do: "read", FD: to, Size: 10})
	if _, err := server.end(); err == nil || err.Error() != syscall.EAGAIN.Error() {
		t.Fatal(err)
	}
	data := request(3)
	client.do(command{Do: "write", FD: from, Data: data})
	time.Sleep(20 * time.Millisecond)
	server.do(command{Do: "recv", FD: to, Size: 10, Flags: unix.MSG_PEEK})
	server.do(command{Do: "recvmsg", FD: to, Size: 10, Flags: unix.MSG_PEEK})
	server.do(command{Do: "recv", FD: to, Size: 4, Flags: unix.MSG_TRUNC}) // dropped unread
	server.do(command{Do: "read", FD: to, Size: 100})
	client.do(command{Do: "shutdown", FD: from})
	time.Sleep(20 * time.Millisecond)
	server.do(command{Do: "read", FD: to, Size: 100})
	r.wait(t, server, 3, Receive)
	settle()
	events := r.of(server, Receive)
	if len(events) != 3 || total(t, events) != uint64(len(data)) {
		t.Fatalf("events:%s", describe(events))
	}
	if e := events[0]; e.Length != 4 || len(e.Payload) != 0 || e.Flags != 1 {
		t.Errorf("dropped bytes:%s", describe(events[:1]))
	}
	if e := events[2]; e.Length != 0 || e.Offset != uint64(len(data)) {
		t.Errorf("end of stream:%s", describe(events[2:]))
	}
	if !bytes.Equal(events[1].Payload, data[4:]) {
		t.Errorf("payload %q", events[1].Payload)
	}
}

// A FIN that arrives with the data is consumed by the read of the data; offsets must not count it.
func TestFinWithData(t *testing.T) {
	for _, joined := range []bool{false, true} {
		client, server := newChild(t, nil), newChild(t, nil)
		var r *recorder
		if !joined {
			r = record(t, Options{})
		}
		from, to := connect(client, server, "127.0.0.1:0", "")
		data := request(40)
		client.do(command{Do: "send", FD: from, Data: data, Flags: unix.MSG_MORE})
		client.do(command{Do: "shutdown", FD: from})
		if joined {
			r = record(t, Options{})
		}
		time.Sleep(10 * time.Millisecond)
		server.do(command{Do: "read", FD: to, Size: 30})
		server.do(command{Do: "read", FD: to, Size: 1000})
		server.do(command{Do: "read", FD: to, Size: 1000})
		server.do(command{Do: "write", FD: to, Data: response(7)})
		client.do(command{Do: "read", FD: from, Size: 1000})
		server.do(command{Do: "close", FD: to})
		time.Sleep(10 * time.Millisecond)
		client.do(command{Do: "read", FD: from, Size: 1000})
		client.do(command{Do: "close", FD: from})
		received := r.wait(t, server, 3, Receive)
		if total(t, received) != uint64(len(data)) || received[2].Length != 0 {
			t.Errorf("joined %v:%s", joined, describe(received))
		}
		answered := r.wait(t, client, 2, Receive)
		if total(t, answered) != uint64(len(response(7))) {
			t.Errorf("joined %v:%s", joined, describe(answered))
		}
		samePair(t, answered[0].Connection, received[0].Connection)
		r.wait(t, client, 1, Close)
		r.wait(t, server, 1, Close)
		if events := append(r.of(client, Reset), r.of(server, Reset)...); len(events) > 0 {
			t.Errorf("resets:%s", describe(events))
		}
		r.Close()
	}
}

func TestPartialWrites(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	client.do(command{Do: "buffer", FD: from, Size: 8192})
	client.do(command{Do: "nonblock", FD: from})
	data := response(4 << 20)
	var sent uint64
	for i := 0; i < 3; i++ {
		client.begin(command{Do: "write", FD: from, Data: data})
		reply, err := client.end()
		if err != nil {
			break
		}
		sent += uint64(reply.N)
	}
	if sent == 0 || sent >= uint64(len(data)) {
		t.Skipf("the kernel took %d bytes at once", sent)
	}
	server.do(command{Do: "sink", FD: to, Size: int(sent)})
	r.waitBytes(t, client, sent, Send)
	r.waitBytes(t, server, sent, Receive)
	total(t, r.of(client, Send))
	total(t, r.of(server, Receive))
}

// Lengths are exact, whatever moves. What the framing says is body is not shipped; where the framing is not known,
// payload is bounded by the message's budget.
func TestLongTransfer(t *testing.T) {
	const size, budget = 10 << 20, 64 << 10
	head := response(size)[:512]
	value := append([]byte("$10485760\r\n"), bytes.Repeat([]byte("v"), 49989)...)
	for _, test := range []struct {
		name  string
		first []byte
		least int
		most  int // and so many bytes of each event on top
		each  int
	}{
		{"HTTP", response(size)[:50000], 10, 1024, 0},
		{"HTTP with its head in a send of its own", head[:bytes.Index(head, []byte("\r\n\r\n"))+4], 10, 1024, 0},
		{"HTTP of unknown length", bytes.Replace(head, []byte("Content-Length: 1"), []byte("Content-Length: x"), 1), budget, budget, 1024},
		{"Redis", value, 100, 1024, 0},
		{"Redis with the length in a send of its own", value[:11], 10, 1024, 0},
		{"Redis of unknown length", value[:512], budget, budget, 1024},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, client, server, from, to := pair(t, Options{})
			client.do(command{Do: "write", FD: from, Data: test.first})
			server.do(command{Do: "sink", FD: to, Size: len(test.first)})
			server.begin(command{Do: "sink", FD: to, Size: size - len(test.first)})
			client.do(command{Do: "pump", FD: from, Size: size - len(test.first), Data: bytes.Repeat([]byte("v"), 50000)})
			if _, err := server.end(); err != nil {
				t.Fatal(err)
			}
			r.waitBytes(t, client, size, Send)
			r.waitBytes(t, server, size, Receive)
			for name, events := range map[string][]Event{"sent": r.of(client, Send), "received": r.of(server, Receive)} {
				if n := total(t, events); n != size {
					t.Errorf("%s %d bytes", name, n)
				}
				shipped := 0
				for _, e := range events {
					shipped += len(e.Payload)
					if uint64(len(e.Payload)) < uint64(e.Length) && e.Flags&1 == 0 {
						t.Errorf("%s: cut without a flag: %s", name, describe([]Event{e}))
					}
				}
				if shipped < test.least || shipped > test.most+test.each*len(events) {
					t.Errorf("%s: %d bytes of payload in %d events", name, shipped, len(events))
				}
				last := events[len(events)-1]
				if n := len(last.Segments); test.each > 0 && last.Length > 1024 &&
					(n != 2 || last.Segments[1].At+last.Segments[1].Length != last.Length) {
					t.Errorf("%s: last event %d bytes, segments %v", name, last.Length, last.Segments)
				}
			}
		})
	}
}

// What follows a long body or value is shipped, in whatever pieces it is read, and so is each value of many.
func TestFollowedFraming(t *testing.T) {
	value := func(n int) string { return fmt.Sprintf("$%d\r\n%s\r\n", n, strings.Repeat("v", n)) }
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat("c", n)) }
	r := record(t, Options{})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	for name, text := range map[string]string{
		"values of any length": "*400\r\n" + strings.Repeat(value(1000)+value(10)+value(30000)+value(4097), 100) + "+OK\r\n",
		"small values":         "*60000\r\n" + strings.Repeat(value(3), 60000) + value(100_000) + ":5\r\n",
		"chunks of any length": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
			strings.Repeat(chunk(1000)+chunk(10)+chunk(30000)+chunk(5000), 40) + "0\r\nX-Sum: 1\r\n\r\n",
		"bodies": strings.Repeat("HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n"+strings.Repeat("b", 50000), 20),
	} {
		for _, size := range []int{16384, 50021, 1 << 20} {
			from, to := connect(client, server, "127.0.0.1:0", "")
			server.begin(command{Do: "sink", FD: to, Size: len(text)})
			for at := 0; at < len(text); at += size {
				part := []byte(text[at:min(len(text), at+size)])
				if at/size%2 == 1 && len(part) > 14000 { // in several buffers
					client.do(command{Do: "writev", FD: from, Data: part, Split: []int{1000, 1, 3000, 9000, 7, 100}})
				} else {
					client.do(command{Do: "write", FD: from, Data: part})
				}
			}
			server.end()
			for side, c := range []*child{client, server} {
				kind := []Kind{Send, Receive}[side]
				r.waitBytes(t, c, uint64(len(text)), kind)
				checkFollowed(t, fmt.Sprint(name, " in calls of ", size, ", ", []string{"sent", "received"}[side]), text, r.of(c, kind))
			}
			r.mu.Lock()
			r.events = nil
			r.mu.Unlock()
		}
	}
}

// checkFollowed checks that events hold all of text but for the letters that stand for bodies, and not all of those.
func checkFollowed(t *testing.T, name, text string, events []Event) {
	t.Helper()
	if n := total(t, events); n != uint64(len(text)) {
		t.Errorf("%s: %d bytes", name, n)
	}
	seen := bytes.Repeat([]byte("b"), len(text))
	for _, e := range events {
		segments, payload := e.Segments, e.Payload
		if segments == nil {
			segments = []Segment{{Length: uint32(len(payload))}}
		}
		for _, s := range segments {
			copy(seen[e.Offset+uint64(s.At):], payload[:s.Length])
			payload = payload[s.Length:]
		}
	}
	for i := range seen {
		if seen[i] == 'b' && text[i] != 'b' && text[i] != 'v' && text[i] != 'c' {
			t.Errorf("%s: %q at %d is not shipped", name, text[max(0, i-10):min(len(text), i+10)], i)
			break
		}
	}
	if left := bytes.Count(seen, []byte("b")); left < len(text)/3 && !strings.HasPrefix(name, "small") {
		t.Errorf("%s: of %d bytes only %d were left out", name, len(text), left)
	}
}

// No more of a call is shipped than the limit says.
func TestPayloadBytes(t *testing.T) {
	for _, limit := range []int{64, 300, 16384, 100_000} {
		r, client, server, from, to := pair(t, Options{PayloadBytes: limit})
		text := bytes.Repeat([]byte("*2\r\n$3\r\nGET\r\n$5\r\nkey42\r\n"), 10000)
		for range 3 {
			client.do(command{Do: "write", FD: from, Data: text})
			server.do(command{Do: "sink", FD: to, Size: len(text)})
			client.do(command{Do: "writev", FD: from, Data: text, Split: []int{100, 20000, 7}})
			server.do(command{Do: "sink", FD: to, Size: len(text)})
		}
		r.waitBytes(t, client, uint64(6*len(text)), Send)
		shipped := map[uint64]int{}
		for _, e := range r.of(client, Send) {
			shipped[e.TimeNS] += len(e.Payload)
		}
		if len(shipped) != 6 {
			t.Errorf("limit %d: %d calls", limit, len(shipped))
		}
		for _, n := range shipped {
			if n > limit || n < limit*3/4 {
				t.Errorf("limit %d: %d bytes were shipped of a call", limit, n)
			}
		}
		r.Close()
	}
	for _, wrong := range []int{-1, 1, 63, MaxPayloadBytes + 1} {
		if _, err := (Options{PayloadBytes: wrong}).withDefaults(); err == nil {
			t.Errorf("%d was taken", wrong)
		}
	}
}

func TestPayloadPlacement(t *testing.T) {
	r, client, server, from, to := pair(t, Options{PayloadBytes: 1000})
	data := append(request(100), bytes.Repeat([]byte("0123456789abcdef"), 1000)...)
	client.do(command{Do: "write", FD: from, Data: data})
	server.do(command{Do: "sink", FD: to, Size: len(data)})
	client.do(command{Do: "writev", FD: from, Data: data, Split: []int{400, 100, 900, 5, 4000, 10, 300, 2, 6, 77}})
	server.do(command{Do: "sink", FD: to, Size: len(data)})
	r.waitBytes(t, client, uint64(2*len(data)), Send)
	events := r.of(client, Send)
	if len(events) != 2 {
		t.Fatalf("events:%s", describe(events))
	}
	for _, e := range events {
		payload := e.Payload
		if len(e.Segments) < 2 || e.Segments[0] != (Segment{Length: 750}) {
			t.Errorf("segments %v", e.Segments)
		}
		for _, s := range e.Segments {
			if !bytes.Equal(payload[:s.Length], data[s.At:][:s.Length]) {
				t.Errorf("segment %v differs", s)
			}
			payload = payload[s.Length:]
		}
		if last := e.Segments[len(e.Segments)-1]; int(last.At+last.Length) != len(data) || len(payload) != 0 {
			t.Errorf("segments %v of %d bytes, %d left", e.Segments, len(data), len(payload))
		}
	}
}

func TestPipelining(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	one := request(300)
	all := bytes.Repeat(one, 5)
	client.do(command{Do: "write", FD: from, Data: all})
	server.do(command{Do: "sink", FD: to, Size: len(all)})
	// A long pipeline of small commands is framing throughout, so all of it is shipped.
	commands := bytes.Repeat([]byte("*2\r\n$3\r\nGET\r\n$5\r\nkey42\r\n"), 40000)
	redisFrom, redisTo := connect(client, server, "127.0.0.1:0", "")
	server.begin(command{Do: "sink", FD: redisTo, Size: len(commands)})
	client.do(command{Do: "pump", FD: redisFrom, Size: len(commands), Data: commands[:16000]})
	server.end()
	r.waitBytes(t, client, uint64(len(all)+len(commands)), Send)
	var http, redis []Event
	for _, e := range r.of(client, Send) {
		if e.Connection.Hint == millracev1.Protocol_PROTOCOL_HTTP1 {
			http = append(http, e)
		} else {
			redis = append(redis, e)
		}
	}
	if !bytes.Equal(stream(http), all) {
		t.Errorf("pipelined requests differ:%s", describe(http))
	}
	for _, e := range redis {
		if len(e.Payload) != int(e.Length) {
			t.Fatalf("%d of %d bytes at %d", len(e.Payload), e.Length, e.Offset)
		}
	}
}

func TestNothingShipped(t *testing.T) {
	for _, test := range []struct {
		name  string
		first string
		rest  string
		max   int // events with payload
	}{
		// The hellos are what is read of TLS.
		{"TLS handshake", "\x16\x03\x01\x02\x00\x01\x00", "\x17\x03\x03\x00\x20secret", 2},
		{"TLS data", "\x17\x03\x03\x00\x20secret", "\x17\x03\x03\x00\x20secret", 0},
		{"binary", "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7", "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7", 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, client, server, from, to := pair(t, Options{})
			for _, turns := range []struct {
				data  string
				times int
			}{{test.first, 1}, {test.rest, 50}} {
				client.begin(command{Do: "ask", FD: from, Data: []byte(turns.data), Times: turns.times})
				server.do(command{Do: "echo", FD: to, Data: []byte(turns.data), Times: turns.times})
				client.end()
			}
			settle()
			for _, c := range []*child{client, server} {
				if events := r.of(c, Send, Receive); len(events) > test.max {
					t.Errorf("%d events:%s", len(events), describe(events))
				}
			}
		})
	}
	t.Run("joined in mid-record", func(t *testing.T) {
		client, server := newChild(t, nil), newChild(t, nil)
		from, to := connect(client, server, "127.0.0.1:0", "")
		r := record(t, Options{})
		for range 40 {
			client.do(command{Do: "write", FD: from, Data: []byte("\x9a\xbc\xdecipher")})
			server.do(command{Do: "read", FD: to, Size: 100})
		}
		settle()
		for _, e := range append(r.of(client, Send), r.of(server, Receive)...) {
			if len(e.Payload) > 0 {
				t.Errorf("payload %q", e.Payload)
			}
		}
		// Once a message begins in the open, it is seen.
		for range 40 {
			client.do(command{Do: "write", FD: from, Data: request(1)})
			server.do(command{Do: "read", FD: to, Size: 100})
		}
		r.wait(t, client, 20, Send)
	})
}

// While it is not known what a connection speaks, what looks like messages of other protocols behind its first bytes
// says nothing: a hello of TLS has random bytes, and may come byte by byte.
func TestLooksOfOthers(t *testing.T) {
	looks := map[millracev1.Protocol][]byte{}
	for _, rule := range all.Rules() {
		if rule.Protocol != 0 && looks[rule.Protocol] == nil {
			// 17 bytes, so often that the windows in which first bytes are looked for begin everywhere in them.
			looks[rule.Protocol] = bytes.Repeat(append(rule.Value[:], 0), 17)
		}
	}
	for protocol, look := range looks {
		r, client, server, from, to := pair(t, Options{})
		hello := append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), look...)
		for i := range hello {
			client.do(command{Do: "write", FD: from, Data: hello[i : i+1]})
			server.do(command{Do: "read", FD: to, Size: 1})
		}
		r.waitBytes(t, client, uint64(len(hello)), Send)
		r.waitBytes(t, server, uint64(len(hello)), Receive)
		for _, events := range [][]Event{r.of(client, Send), r.of(server, Receive)} {
			if n := shippedBytes(events); n != len(hello) {
				t.Errorf("%v: %d bytes of %d are shipped", protocol, n, len(hello))
			}
		}
		r.Close()
	}
}

func TestVerdict(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	exchange := func() {
		client.do(command{Do: "write", FD: from, Data: request(1)})
		server.do(command{Do: "read", FD: to, Size: 100})
	}
	exchange()
	socket := r.wait(t, client, 1, Send)[0].Connection.Socket
	if err := r.SetVerdict(socket, millracev1.Protocol_PROTOCOL_UNKNOWN, false); err != nil {
		t.Fatal(err)
	}
	exchange()
	r.wait(t, server, 2, Receive) // its own end goes on
	settle()
	if events := r.of(client, Send); len(events) != 1 {
		t.Errorf("after the verdict:%s", describe(events))
	}
	if err := r.SetVerdict(socket, millracev1.Protocol_PROTOCOL_HTTP1, false); err != nil {
		t.Fatal(err)
	}
	exchange()
	events := r.wait(t, client, 2, Send)
	if e := events[1]; e.Offset != uint64(2*len(request(1))) || e.Flags != 0 {
		t.Errorf("after it was taken back:%s", describe(events))
	}
	if err := r.SetVerdict(12345, 1, false); !errors.Is(err, ErrUnknownConnection) {
		t.Error(err)
	}
}

func TestUnixSockets(t *testing.T) {
	for _, path := range []string{t.TempDir() + "/socket", "@millrace-test"} {
		r := record(t, Options{})
		client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
		from := 0
		l := server.do(command{Do: "listen", Address: path})
		from = client.do(command{Do: "connect", Address: path}).FD
		client.do(command{Do: "write", FD: from, Data: request(1)}) // before it is accepted
		to := server.do(command{Do: "accept", FD: l.FD}).FD
		server.do(command{Do: "read", FD: to, Size: 1000})
		for range 3 {
			server.do(command{Do: "write", FD: to, Data: response(5)})
			client.do(command{Do: "recvmsg", FD: from, Size: 1000})
			client.do(command{Do: "sendmsg", FD: from, Data: request(9), Split: []int{4}})
			server.do(command{Do: "read", FD: to, Size: 1000})
		}
		sent, received := r.wait(t, client, 4, Send), r.wait(t, server, 4, Receive)
		if total(t, sent) != total(t, received) || !bytes.Equal(stream(sent), stream(received)) {
			t.Errorf("sent%s\nreceived%s", describe(sent), describe(received))
		}
		total(t, r.wait(t, client, 3, Receive))
		total(t, r.wait(t, server, 3, Send))
		a, b := sent[0].Connection, received[0].Connection
		samePair(t, a, b)
		if a.UnixPath != path || b.UnixPath != path || !strings.HasPrefix(path, path[:1]) || a.Transport != millracev1.Transport_TRANSPORT_UNIX {
			t.Errorf("%+v %+v", a, b)
		}
		r.Close()
	}
}

// A token that is read in pieces is still one: the budget is filled again for the long request behind it.
func TestSplitToken(t *testing.T) {
	r, client, server, from, to := pair(t, Options{MessageBytes: 9000})
	long := request(8000)
	for i := range 6 {
		client.do(command{Do: "write", FD: from, Data: long})
		for _, n := range [][]int{{1}, {2, 1}, {}, {1, 1, 1}, {4}, {1}}[i] {
			server.do(command{Do: "read", FD: to, Size: n})
		}
		server.do(command{Do: "read", FD: to, Size: len(long)})
	}
	r.waitBytes(t, server, uint64(6*len(long)), Receive)
	if !bytes.Equal(stream(r.of(server, Receive)), bytes.Repeat(long, 6)) {
		t.Errorf("received:%s", describe(r.of(server, Receive)))
	}
}
