package kernel

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The counters of both ends at the end of a connection are those of the programs: what one sent the other received,
// without SYN and FIN. Samples come while it lasts, and none while it is idle.
func TestFlowSamples(t *testing.T) {
	r, client, server, from, to := pair(t, Options{FlowInterval: 50 * time.Millisecond})
	sent, received := 0, 0
	for range 5 {
		sent += client.do(command{Do: "write", FD: from, Data: request(1)}).N
		server.do(command{Do: "read", FD: to, Size: 1000})
		received += server.do(command{Do: "write", FD: to, Data: []byte("HTTP/1.1 204 No Content\r\n\r\n")}).N
		client.do(command{Do: "read", FD: from, Size: 1000})
	}
	during := r.wait(t, client, 1, Sample)
	first := during[0].Counters
	if first.Flags != 1 || first.HeaderBytes < 40 || first.SegmentsOut == 0 {
		t.Errorf("first sample: %+v", first)
	}
	// Nothing moves: what was told last is told no more.
	time.Sleep(200 * time.Millisecond)
	idle := len(r.of(client, Sample))
	time.Sleep(200 * time.Millisecond)
	if more := len(r.of(client, Sample)); more != idle {
		t.Errorf("%d samples of an idle connection", more-idle)
	}
	client.do(command{Do: "close", FD: from})
	server.do(command{Do: "read", FD: to, Size: 10})
	server.do(command{Do: "close", FD: to})
	for _, end := range []struct {
		who            *child
		sent, received int
	}{{client, sent, received}, {server, received, sent}} {
		c := lastSample(t, r, end.who).Counters
		if c.PayloadSent != uint64(end.sent) || c.BytesSent != uint64(end.sent) || c.PayloadReceived != uint64(end.received) {
			t.Errorf("sent %d, received %d: %+v", end.sent, end.received, c)
		}
		if c.DataSegmentsOut != 5 || c.DataSegmentsIn != 5 || c.Retransmits != 0 || c.Error != 0 {
			t.Errorf("%+v", c)
		}
	}
	a, b := lastSample(t, r, client), lastSample(t, r, server)
	samePair(t, a.Connection, b.Connection)
}

// lastSample waits for the sample of an end; there is one with the flag.
func lastSample(t *testing.T, r *recorder, c *child) Event {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		var ends []Event
		for _, e := range r.of(c, Sample) {
			if e.Counters.Flags&2 != 0 {
				ends = append(ends, e)
			}
		}
		if len(ends) > 1 {
			t.Fatalf("%d ends", len(ends))
		}
		if len(ends) == 1 {
			return ends[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("no end among %d samples", len(r.of(c, Sample)))
		}
	}
}

// A connection on which nobody moved data is told of at its end, with the process that connected and the one that
// listens.
func TestFlowWithoutData(t *testing.T) {
	r, client, server, from, to := pair(t, Options{FlowInterval: time.Hour})
	client.do(command{Do: "close", FD: from})
	server.do(command{Do: "close", FD: to})
	for _, c := range []*child{client, server} {
		e := lastSample(t, r, c)
		if e.Counters.Flags != 3 || e.Counters.PayloadSent != 0 || e.Counters.PayloadReceived != 0 || e.Counters.SegmentsOut == 0 ||
			e.Connection.OpenedNS == 0 {
			t.Errorf("%+v of %+v", e.Counters, e.Connection)
		}
	}
}

// Without an interval nothing is told.
func TestNoFlows(t *testing.T) {
	r, client, server, from, to := pair(t, Options{})
	client.do(command{Do: "write", FD: from, Data: request(1)})
	server.do(command{Do: "read", FD: to, Size: 1000})
	client.do(command{Do: "close", FD: from})
	server.do(command{Do: "close", FD: to})
	r.wait(t, client, 1, Close)
	r.wait(t, server, 1, Close)
	if n := len(r.of(client, Sample)) + len(r.of(server, Sample)); n != 0 {
		t.Errorf("%d samples", n)
	}
	for _, f := range r.Features() {
		if f.Name == "flow samples" {
			t.Error("the program for passes was attached")
		}
	}
}

// A connection that is reset says so, and what it had sent.
func TestFlowReset(t *testing.T) {
	r, client, server, from, to := pair(t, Options{FlowInterval: time.Hour})
	n := client.do(command{Do: "write", FD: from, Data: request(1)}).N
	server.do(command{Do: "read", FD: to, Size: 1000})
	client.do(command{Do: "reset", FD: from})
	server.begin(command{Do: "read", FD: to, Size: 100})
	server.end()
	server.do(command{Do: "close", FD: to})
	sender, receiver := lastSample(t, r, client).Counters, lastSample(t, r, server).Counters
	if sender.State != 1 || sender.Error != 0 || receiver.Error != uint32(unix.ECONNRESET) {
		t.Errorf("%+v, %+v", sender, receiver)
	}
	if sender.PayloadSent != uint64(n) || receiver.PayloadReceived != uint64(n) {
		t.Errorf("%d sent: %+v, %+v", n, sender, receiver)
	}
}

// The rate of the kernel's ticks is told from two records, and nothing is claimed before.
func TestJiffies(t *testing.T) {
	t.Parallel()
	for _, hertz := range []uint64{100, 250, 300, 1000} {
		var j jiffies
		j.see(^uint32(0)-10, 5e9) // it wraps between the two
		if j.micros(100) != 0 {
			t.Errorf("%d Hz is known from one record", hertz)
		}
		j.see(^uint32(0)-10+uint32(hertz*6/10), 5e9+6e8)
		if got := j.micros(uint32(hertz)); got != 1e6 {
			t.Errorf("%d Hz: a second is %d us", hertz, got)
		}
	}
}
