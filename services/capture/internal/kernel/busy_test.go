package kernel

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() { childCommands["busy"] = busy }

// busy keeps connections of one process to itself busy for Times milliseconds: some for all of the time, some for a
// few requests each; those of half of them carry a protocol that nobody knows, with a word in it now and then that
// looks like one that is known.
func busy(c *command) (reply, error) {
	runtime.GOMAXPROCS(4)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return reply{}, err
	}
	defer l.Close()
	go func() {
		for {
			connection, err := l.Accept()
			if err != nil {
				return
			}
			go answer(connection)
		}
	}()
	end := time.Now().Add(time.Duration(c.Times) * time.Millisecond)
	failed := make(chan error, 8)
	var clients sync.WaitGroup
	for i := range cap(failed) {
		clients.Go(func() {
			turns := 1 << 30
			if i >= cap(failed)/2 {
				turns = 25
			}
			for time.Now().Before(end) {
				if err := talk(l.Addr().String(), turns, i%2 == 0, end); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	clients.Wait()
	select {
	case err = <-failed:
	default:
	}
	return reply{}, err
}

// answer sends back lines, and answers heads.
func answer(connection net.Conn) {
	defer connection.Close()
	lines := bufio.NewReader(connection)
	for n := 0; ; n++ {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "GET ") {
			for line != "\r\n" && err == nil {
				line, err = lines.ReadString('\n')
			}
			line = string(response(700))
		} else if n%37 == 36 {
			line = "PING\r\n"
		}
		if _, err := io.WriteString(connection, line); err != nil {
			return
		}
	}
}

// talk makes a connection, asks a number of times, one at a time, and closes it.
func talk(address string, turns int, known bool, end time.Time) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	data := make([]byte, 4096)
	for n := range turns {
		if !time.Now().Before(end) {
			break
		}
		ask, want := fmt.Sprintf("some line %d\r\n", n), 1
		if known {
			ask, want = string(request(20)), len(response(700))
		}
		if _, err := io.WriteString(connection, ask); err != nil {
			return err
		}
		if _, err := io.ReadAtLeast(connection, data, want); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// TestAttachWhileBusy attaches again and again while connections are busy and are made: from the first event of a
// connection on none is missing, and a connection that is reported as seen from its beginning was.
func TestAttachWhileBusy(t *testing.T) {
	const attaches, most = 20, 40 * time.Second
	c := newChild(t, nil)
	c.begin(command{Do: "busy", Times: int(5 * time.Minute / time.Millisecond)})
	defer func() { _ = c.cmd.Process.Kill() }()
	begun, i := time.Now(), 0
	for ; i < attaches && !t.Failed(); i++ {
		if time.Since(begun) > most { // a slow machine
			break
		}
		time.Sleep(20 * time.Millisecond)
		r := record(t, Options{})
		time.Sleep(150 * time.Millisecond)
		r.wait(t, c, 100, Send, Receive)
		losses, err := r.Losses()
		r.Close()
		if err != nil || len(losses) > 0 {
			t.Errorf("losses %v, %v", losses, err)
		}
		checkWhole(t, r.of(c, Send, Receive))
	}
	t.Logf("attached %d times", i)
}

// checkWhole checks that nothing is missing between the first and the last of events in each direction of each
// connection.
func checkWhole(t testing.TB, events []Event) {
	t.Helper()
	type direction struct {
		socket uint64
		kind   Kind
	}
	next := map[direction]uint64{}
	joined := 0
	for _, e := range events {
		d := direction{e.Connection.Socket, e.Kind}
		at, seen := next[d]
		if !seen && e.Connection.OpenedNS == 0 {
			at = e.Offset
			joined++
		}
		if e.Offset != at {
			t.Errorf("connection %x, opened at %d, kind %d: an event at %d, not at %d: %q", e.Connection.Socket, e.Connection.OpenedNS, e.Kind, e.Offset, at, e.Payload[:min(len(e.Payload), 20)])
		}
		next[d] = e.Offset + uint64(e.Length)
	}
	if joined == 0 {
		t.Error("no connection was busy before")
	}
}

// What a joined connection moves before it is known is not reported at all: reported and then not, it would be
// taken for lost.
func TestJoinedBeforeItIsKnown(t *testing.T) {
	for _, network := range []struct{ name, listen, dial string }{{"tcp", "127.0.0.1:0", ""}, {"unix", "@millrace-joined", "@millrace-joined"}} {
		t.Run(network.name, func(t *testing.T) {
			client, server := newChild(t, nil), newChild(t, nil)
			from, to := connect(client, server, network.listen, network.dial)
			turns := func(times int, ask, say []byte) {
				t.Helper()
				server.begin(command{Do: "echo", FD: to, Times: times, Data: say})
				client.do(command{Do: "ask", FD: from, Times: times, Data: ask})
				if _, err := server.end(); err != nil {
					t.Fatal(err)
				}
			}
			turns(3, []byte("before\n"), []byte("and more\n"))
			r := record(t, Options{})
			turns(100, []byte("strange\n"), []byte("things\n"))
			turns(40, request(5), response(3))
			sent, received := r.wait(t, client, 15, Send), r.wait(t, server, 15, Receive)
			settle()
			for _, c := range []*child{client, server} {
				checkWhole(t, r.of(c, Send, Receive))
			}
			// Both ends report requests from where each knew; where they are must be the same.
			arrived, both := map[uint64]bool{}, 0
			for _, e := range received {
				arrived[e.Offset] = true
			}
			for _, e := range sent {
				if e.Offset < received[0].Offset || e.Offset > received[len(received)-1].Offset {
					continue
				}
				if both++; !arrived[e.Offset] {
					t.Errorf("a request at %d where it was sent, and not where it was received", e.Offset)
				}
			}
			if a, b := sent[0].Connection.SendFlow, received[0].Connection.SendFlow; both == 0 || a != reversed(b) {
				t.Errorf("%d requests reported at both ends, of %x and %x", both, a, b)
			}
			for _, e := range append(r.of(client), r.of(server)...) {
				if e.Kind <= Receive && len(e.Payload) < len(request(5)) {
					t.Fatalf("reported:%s", describe([]Event{e}))
				}
			}
		})
	}
}
