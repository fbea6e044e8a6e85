package kernel

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"millrace.dev/protocols"
)

func init() {
	// Reads Size bytes in all, without ever sleeping until some come: on another CPU than the writer.
	childCommands["spin"] = func(c *command) (r reply, err error) {
		data := make([]byte, 65536)
		for r.N < c.Size {
			n, _, err := unix.Recvfrom(c.FD, data[:min(len(data), c.Size-r.N)], unix.MSG_DONTWAIT)
			switch {
			case errors.Is(err, unix.EAGAIN):
			case err != nil:
				return r, err
			case n == 0:
				return r, io.ErrUnexpectedEOF
			}
			r.N += max(n, 0)
		}
		return r, nil
	}
}

// Both ends of a Unix-domain stream are seen first at the same moment, on two CPUs, and their socks are those of the
// connection before. Neither may undo what was entered of the other.
func TestUnixEndsMeet(t *testing.T) {
	r := record(t, Options{protocols: []*protocols.Protocol{framed()}})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	asks, answers := &spoken{}, &spoken{}
	asks.raw("\x00\x00\x00\x08hi!!")
	asks.typed('d', 20_000, 5)
	asks.typed('Q', 100, whole)
	answers.typed('Z', 6, whole)
	for turn := range 300 {
		address := fmt.Sprintf("@millrace-meet-%d-%d", unix.Getpid(), turn)
		from, to := connect(client, server, address, address)
		server.begin(command{Do: "spin", FD: to, Size: len(asks.bytes)})
		client.do(command{Do: "write", FD: from, Data: asks.bytes[:8]})
		client.do(command{Do: "write", FD: from, Data: asks.bytes[8:]})
		server.end()
		client.begin(command{Do: "sink", FD: from, Size: len(answers.bytes)})
		server.do(command{Do: "write", FD: to, Data: answers.bytes})
		client.end()
		name := fmt.Sprintf("turn %d", turn)
		sent, received := r.waitAll(t, client, asks, Send), r.waitAll(t, server, asks, Receive)
		asks.check(t, name, sent)
		asks.check(t, name, received)
		answers.check(t, name, r.waitAll(t, server, answers, Send))
		answers.check(t, name, r.waitAll(t, client, answers, Receive))
		flow := sent[0].Connection.SendFlow
		for _, e := range received {
			if got := e.Connection.SendFlow; got != flow<<32|flow>>32 {
				t.Errorf("%s: the ends are %x and %x", name, flow, got)
			}
		}
		client.do(command{Do: "close", FD: from})
		server.do(command{Do: "close", FD: to})
		r.forget()
	}
}

// What else may come between the ends of a Unix-domain stream and their common identity.
func TestUnixIdentity(t *testing.T) {
	r := record(t, Options{})
	client, server := newChild(t, r.Kernel), newChild(t, r.Kernel)
	name := func(what string) string { return fmt.Sprintf("@millrace-%s-%d", what, unix.Getpid()) }
	listening := func(address string) int { return server.do(command{Do: "listen", Address: address}).FD }
	first := func(c *child, kind Kind) *Connection {
		t.Helper()
		return r.wait(t, c, 1, kind)[0].Connection
	}
	agree := func(what string, a, b *Connection) {
		t.Helper()
		if a.SendFlow != reversed(b.SendFlow) || a.Socket == b.Socket {
			t.Errorf("%s: flows %x and %x, sockets %d and %d", what, a.SendFlow, b.SendFlow, a.Socket, b.Socket)
		}
	}

	// The client sends and is closed before the server accepts it.
	l := listening(name("gone"))
	from := client.do(command{Do: "connect", Address: name("gone")}).FD
	client.do(command{Do: "write", FD: from, Data: request(1)})
	client.do(command{Do: "close", FD: from})
	to := server.do(command{Do: "accept", FD: l}).FD
	server.do(command{Do: "read", FD: to, Size: 1000})
	agree("closed", first(client, Send), first(server, Receive))
	r.forget()

	// Both ends have a name.
	l = listening(name("named"))
	from = client.do(command{Do: "connect", Address: name("named"), Data: []byte(name("client"))}).FD
	client.do(command{Do: "write", FD: from, Data: request(1)})
	to = server.do(command{Do: "accept", FD: l}).FD
	server.do(command{Do: "read", FD: to, Size: 1000})
	sent := first(client, Send)
	agree("named", sent, first(server, Receive))
	r.forget()

	// The entry of one end had to make room: what it sends then is nowhere in the stream that the other end knows.
	key, ok := r.table.keyOf(sent.Socket)
	if !ok {
		t.Fatal("unknown connection")
	}
	if err := r.collection.Maps["unix_connections"].Delete(key); err != nil {
		t.Fatal(err)
	}
	client.do(command{Do: "write", FD: from, Data: request(2)})
	server.do(command{Do: "read", FD: to, Size: 1000})
	again, received := first(client, Send), first(server, Receive)
	if again.SendFlow == sent.SendFlow || again.SendFlow == reversed(received.SendFlow) || received.SendFlow != reversed(sent.SendFlow) {
		t.Errorf("flow %x was %x, the other end's is %x", again.SendFlow, sent.SendFlow, received.SendFlow)
	}
	if refused := tableNamed(t, r.Kernel, "unix_connections").Refused; refused.Events == 0 || refused.Bytes < uint64(len(request(2))) {
		t.Errorf("refused: %+v", refused)
	}
}
