package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recorder keeps what a Kernel hands out.
type recorder struct {
	*Kernel
	mu     sync.Mutex
	events []Event
}

// record attaches and begins to read. It skips the test only where the process may not use eBPF at all.
func record(t testing.TB, options Options) *recorder {
	t.Helper()
	k, err := Attach(options)
	if errors.Is(err, ErrNoCapability) || errors.Is(err, ErrNoBTF) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, verifierLog(err))
	}
	r := &recorder{Kernel: k}
	done := make(chan error)
	go func() { done <- k.Run(r.add, func(bool) {}) }()
	t.Cleanup(func() {
		k.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *recorder) add(e *Event) {
	c := *e
	c.Payload = bytes.Clone(e.Payload)
	c.Segments = slices.Clone(e.Segments)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, c)
}

// of gives the events of a process so far, of the given kinds (all if there are none).
func (r *recorder) of(c *child, kinds ...Kind) (events []Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.PID == c.pid && (len(kinds) == 0 || slices.Contains(kinds, e.Kind)) {
			events = append(events, e)
		}
	}
	return events
}

const patience = 10 * time.Second

// wait waits until the process has so many events of the kinds.
func (r *recorder) wait(t testing.TB, c *child, count int, kinds ...Kind) []Event {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		events := r.of(c, kinds...)
		if len(events) >= count {
			return events
		}
		if time.Now().After(deadline) {
			losses, _ := r.Losses()
			t.Fatalf("%d events of kinds %v instead of %d; losses %v; all: %s", len(events), kinds, count, losses, describe(r.of(c)))
		}
	}
}

// settle waits long enough for records that should not be there to come.
func settle() { time.Sleep(50 * time.Millisecond) }

func describe(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "\n  %d offset %d length %d payload %d flags %d", e.Kind, e.Offset, e.Length, len(e.Payload), e.Flags)
		if e.Connection != nil {
			fmt.Fprintf(&b, " flow %x role %v", e.Connection.SendFlow, e.Connection.Role)
		}
	}
	return b.String()
}

// total is the number of bytes that events moved; it fails the test where one does not follow the other.
func total(t testing.TB, events []Event) (n uint64) {
	t.Helper()
	for i, e := range events {
		if e.Offset != n {
			t.Errorf("event %d is at %d, not %d:%s", i, e.Offset, n, describe(events[max(0, i-2):min(len(events), i+2)]))
			return e.Offset
		}
		n += uint64(e.Length)
	}
	return n
}

// stream puts the payload of events into place; zeros where nothing was shipped.
func stream(events []Event) []byte {
	var s []byte
	for _, e := range events {
		if need := int(e.Offset) + int(e.Length); need > len(s) {
			s = append(s, make([]byte, need-len(s))...)
		}
		segments := e.Segments
		if segments == nil {
			segments = []Segment{{Length: uint32(len(e.Payload))}}
		}
		payload := e.Payload
		for _, g := range segments {
			copy(s[e.Offset+uint64(g.At):], payload[:g.Length])
			payload = payload[g.Length:]
		}
	}
	return s
}

func reversed(flow uint64) uint64 { return flow<<32 | flow>>32 }

// samePair checks that two ends hold one identity and opposite roles and addresses.
func samePair(t testing.TB, client, server *Connection) {
	t.Helper()
	if client.SendFlow != reversed(server.SendFlow) {
		t.Errorf("flows %016x and %016x are not each other's reverse", client.SendFlow, server.SendFlow)
	}
	if client.SendFlow == 0 || client.Socket == server.Socket {
		t.Errorf("identities: flow %x sockets %d %d", client.SendFlow, client.Socket, server.Socket)
	}
	if client.Role != 1 || server.Role != 2 {
		t.Errorf("roles %v and %v", client.Role, server.Role)
	}
	if client.Local != server.Remote || client.Remote != server.Local {
		t.Errorf("addresses %v-%v and %v-%v", client.Local, client.Remote, server.Local, server.Remote)
	}
}

func request(n int) []byte {
	return append([]byte("GET /"+strings.Repeat("x", n)+" HTTP/1.1\r\nHost: a\r\n"), "\r\n"...)
}

func response(n int) []byte {
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", n), bytes.Repeat([]byte("y"), n)...)
}

func TestBothEndsAgree(t *testing.T) {
	sends := []command{
		{Do: "write"},
		{Do: "writev", Split: []int{3, 0, 20}},
		{Do: "sendto"},
		{Do: "send"},
		{Do: "sendmsg", Split: []int{10, 10}},
		{Do: "sendmmsg", Split: []int{20, 3}},
		{Do: "sendfile"},
		{Do: "splice"},
	}
	receives := []command{
		{Do: "read", Size: 1000},
		{Do: "readv", Size: 1000, Split: []int{1, 2, 3}},
		{Do: "recv", Size: 1000},
		{Do: "recvmsg", Size: 1000, Split: []int{5, 6}},
		{Do: "recvmmsg", Size: 1000, Split: []int{7}, Flags: 0x10000 /* MSG_WAITFORONE */},
		{Do: "splicein", Size: 1000},
	}
	families := []struct{ name, listen, dial string }{
		{"IPv4", "127.0.0.1:0", ""},
		{"IPv6", "[::1]:0", ""},
		{"mapped", "[::]:0", "127.0.0.1"},
	}
	for _, f := range families {
		for _, joined := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/joined=%v", f.name, joined), func(t *testing.T) {
				var r *recorder
				var client, server *child
				var from, to int
				if joined {
					client, server = newChild(t, nil), newChild(t, nil)
					from, to = connect(client, server, f.listen, f.dial)
					// An odd history in both directions.
					client.do(command{Do: "write", FD: from, Data: make([]byte, 777)})
					server.do(command{Do: "sink", FD: to, Size: 777})
					server.do(command{Do: "write", FD: to, Data: make([]byte, 99)})
					client.do(command{Do: "sink", FD: from, Size: 99})
					r = record(t, Options{})
				} else {
					r = record(t, Options{})
					client, server = newChild(t, r.Kernel), newChild(t, r.Kernel)
					from, to = connect(client, server, f.listen, f.dial)
				}
				var sent uint64
				if joined {
					sent = 777
				}
				base := sent
				all := []byte{}
				for _, s := range sends {
					for _, v := range receives {
						data := request(len(all) % 50)
						s.FD, s.Data, v.FD = from, data, to
						client.do(s)
						server.do(v)
						sent += uint64(len(data))
						all = append(all, data...)
					}
				}
				r.waitBytes(t, client, sent-base, Send)
				r.waitBytes(t, server, sent-base, Receive)
				out, in := r.of(client, Send), r.of(server, Receive)
				for name, events := range map[string][]Event{"sent": out, "received": in} {
					if events[0].Offset != base {
						t.Fatalf("%s: first offset %d, not %d", name, events[0].Offset, base)
					}
					next := base
					for i, e := range events {
						if e.Offset != next || e.Flags&^1 != 0 {
							t.Errorf("%s: event %d of %d bytes at %d, not %d, flags %d", name, i, e.Length, e.Offset, next, e.Flags)
						}
						next = e.Offset + uint64(e.Length)
						if len(e.Payload) > 0 && len(e.Payload) == int(e.Length) && !bytes.Equal(e.Payload, all[e.Offset-base:][:e.Length]) {
							t.Errorf("%s: event %d has payload %q, not %q", name, i, e.Payload, all[e.Offset-base:][:e.Length])
						}
					}
				}
				for _, e := range out {
					if e.DurationNS == 0 || e.DurationNS > uint64(time.Second) {
						t.Errorf("send took %d ns", e.DurationNS)
					}
				}
				samePair(t, out[0].Connection, in[0].Connection)
				if opened := out[0].Connection.OpenedNS; (opened == 0) != joined {
					t.Errorf("opened at %d", opened)
				}
				if began, opened := out[0].Connection.ConnectingNS, out[0].Connection.OpenedNS; (began == 0) != joined || began > opened {
					t.Errorf("began to connect at %d, was at %d", began, opened)
				}
				if began := in[0].Connection.ConnectingNS; began != 0 {
					t.Errorf("the end that was connected to began to connect at %d", began)
				}
				if losses, err := r.Losses(); err != nil || len(losses) > 0 {
					t.Errorf("losses %v, %v", losses, err)
					r.describeMisses(t)
				}
			})
		}
	}
}

// waitBytes waits until events of the kind moved so many bytes.
func (r *recorder) waitBytes(t testing.TB, c *child, count uint64, kind Kind) {
	t.Helper()
	var n uint64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		n = 0
		for _, e := range r.of(c, kind) {
			n += uint64(e.Length)
		}
		if n == count {
			return
		}
	}
	losses, _ := r.Losses()
	t.Fatalf("%d bytes instead of %d; losses %v:%s", n, count, losses, describe(r.of(c, kind)))
}
