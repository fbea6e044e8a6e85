package e2e

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"

	millracev1 "millrace.dev/proto/millrace/v1"

	"millrace.dev/test/internal/product"
)

// tap collects the raw batches on the bus.
type tap struct {
	mu      sync.Mutex
	batches []*millracev1.RawBatch
	err     error
}

func (x *tap) take(m *nats.Msg) {
	x.mu.Lock()
	defer x.mu.Unlock()
	data := m.Data
	if m.Header.Get("Millrace-Encoding") == "s2" {
		var err error
		if data, err = s2.Decode(nil, data); err != nil {
			x.err = err
			return
		}
	}
	b := &millracev1.RawBatch{}
	if err := b.UnmarshalVT(data); err != nil {
		x.err = err
		return
	}
	x.batches = append(x.batches, b)
}

// shipped is what left capture about connections of a scene.
type shipped struct {
	events  int
	length  int // bytes moved
	payload []byte
}

// of sums up the events of a scene's connections: those of its two processes with its port at either end. The port
// alone does not tell: a program in another network namespace, or one that connects from the port later, has the same.
func (x *tap) of(played *scene) shipped {
	x.mu.Lock()
	defer x.mu.Unlock()
	var s shipped
	for _, b := range x.batches {
		own := map[uint64]bool{}
		for _, p := range b.Processes {
			own[p.Id] = int(p.Pid) == played.clientPID || int(p.Pid) == played.serverPID
		}
		for _, e := range b.Events {
			if e.Connection == 0 || int(e.Connection) > len(b.Connections) {
				continue
			}
			c := b.Connections[e.Connection-1]
			if !own[c.Process] || int(c.LocalPort) != played.port && int(c.RemotePort) != played.port {
				continue
			}
			s.events++
			s.length += int(e.Length)
			s.payload = append(s.payload, e.Payload...)
		}
	}
	return s
}

// What leaves capture: nothing of TLS and next to nothing of an unknown protocol, no credentials, and of a large body
// only a small part.
func TestShippedPayload(t *testing.T) {
	needRoot(t)
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	o := own(t, fmt.Sprintf("bus:\n  embedded:\n    listen: 127.0.0.1:%d\n", port))
	connection, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	x := &tap{}
	if _, err := connection.Subscribe("millrace.raw.*.*", x.take); err != nil {
		t.Fatal(err)
	}
	if err := connection.Flush(); err != nil {
		t.Fatal(err)
	}
	play := func(fill func(*scene)) *scene {
		s := newScene(t)
		s.open("c")
		fill(s)
		s.close("c")
		s.play()
		return s
	}
	binary := play(func(s *scene) { chatter(s, "c", false, 50) })
	tls := play(func(s *scene) { chatter(s, "c", true, 50) })
	// A connection that begins as HTTP and goes on as something else.
	upgraded := play(func(s *scene) {
		up := get("/up", 101, 0)
		up.request.Data = request("GET", "/up", "Upgrade: thing", "Connection: Upgrade")
		up.response.Data = head("HTTP/1.1 101 Switching Protocols", []string{"Upgrade: thing", "Connection: Upgrade"})
		s.turn("c", up)
		chatter(s, "c", false, 50)
	})
	credentials := play(func(s *scene) {
		y := get("/credentials?token="+secret+"&a=b", 200, 2)
		y.request.Data = request("GET", "/credentials?token="+secret+"&a=b", "Authorization: Bearer "+secret, "Cookie: sid="+secret,
			"X-Api-Key: "+secret)
		y.response.Data = response(200, 2, "Set-Cookie: sid="+secret)
		s.turn("c", y)
		// The name of the header in one send, its value in the next.
		y.request.Cuts, y.request.Delay = []int{bytes.Index(y.request.Data, []byte("Bearer"))}, 5*time.Millisecond
		s.turn("c", y)
	})
	large := play(func(s *scene) { s.turn("c", get("/large", 200, 5_000_000)) })

	for name, s := range map[string]*scene{"binary": binary, "tls": tls} {
		if got := o.await(0, s.clientPID, s.serverPID); len(got) != 0 {
			t.Errorf("%s: invented spans: %v", name, got)
		}
	}
	if got := o.await(2, large.clientPID, large.serverPID); len(got) != 2 {
		t.Errorf("large: %d spans", len(got))
	}
	if x.err != nil {
		t.Fatal(x.err)
	}
	limits := map[string]struct {
		scene *scene
		limit int
	}{
		"binary": {binary, 4 * 512}, "tls": {tls, 4 * 16}, "upgraded": {upgraded, 4 * 512}, "large": {large, 300_000},
		"credentials": {credentials, 10_000},
	}
	for name, test := range limits {
		got := x.of(test.scene)
		t.Logf("%s: %d events, %d bytes moved, %d bytes of payload shipped", name, got.events, got.length, len(got.payload))
		if len(got.payload) > test.limit {
			t.Errorf("%s: %d bytes of payload shipped, limit %d", name, len(got.payload), test.limit)
		}
		if n := bytes.Count(got.payload, []byte(secret)); n > 0 && name != "binary" && name != "upgraded" || n > 4 {
			t.Errorf("%s: the secret was shipped %d times", name, n)
		}
	}
	if moved := x.of(large).length; moved < 10_000_000 {
		t.Errorf("large: lengths add up to %d bytes, want all of them at both ends", moved)
	}
}
