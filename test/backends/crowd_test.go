package backends

import (
	"context"
	"fmt"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	crowdService = "wall"
	crowdClient  = "crowd"
	// crowdBatch is how many requests go into a batch, crowdRate how many are published in a second at most.
	crowdBatch = 200
	crowdRate  = 5_000
	// crowdConnections are used in turn.
	crowdConnections = 64
)

// crowd is a client that asks a server for another path each time, as capture would tell of it.
type crowd struct {
	conn      *bus.Conn
	processes [2]*millracev1.Process // client, server
	ends      [crowdConnections][2]*millracev1.Connection
	offsets   [crowdConnections][2]uint64 // sent by the client, by the server
	sequences map[int]uint64
	epoch     uint64
}

// publishCrowd publishes requests with as many distinct paths.
func publishCrowd(t *testing.T, conn *bus.Conn, requests int) {
	t.Helper()
	now := time.Now().UnixNano()
	c := &crowd{conn: conn, sequences: map[int]uint64{}, epoch: uint64(now)}
	for i, name := range []string{crowdClient, crowdService} {
		c.processes[i] = &millracev1.Process{
			Id: identity.Service(name, name) | 1, Node: "node", Pid: uint32(100 + i), NamespacePid: uint32(100 + i), Command: name,
			ExecutablePath: "/usr/bin/" + name, OtelServiceName: name,
		}
	}
	c.processes[1].ListenPorts = []uint32{8080}
	for k := range c.ends {
		flow := identity.Service("crowd", fmt.Sprint(k)) | 1<<32 | 1
		c.ends[k][0] = &millracev1.Connection{
			SendFlow: flow, ReceiveFlow: identity.Reverse(flow), Role: millracev1.Role_ROLE_CLIENT, RemotePort: 8080, LocalPort: uint32(40000 + k),
		}
		c.ends[k][1] = &millracev1.Connection{
			SendFlow: identity.Reverse(flow), ReceiveFlow: flow, Role: millracev1.Role_ROLE_SERVER, LocalPort: 8080, RemotePort: uint32(40000 + k),
		}
		for i, e := range c.ends[k] {
			e.Socket, e.Process, e.Transport, e.OpenedNs = uint64(2*k+i+1), c.processes[i].Id, millracev1.Transport_TRANSPORT_TCP, uint64(now)
			e.LocalAddress, e.RemoteAddress = []byte{10, 0, 0, byte(i + 1)}, []byte{10, 0, 0, byte(2 - i)}
		}
	}
	begin := time.Now()
	for n := 0; n < requests; n += crowdBatch {
		if err := c.publish(n/crowdBatch%crowdConnections, n, min(requests, n+crowdBatch)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(begin.Add(time.Duration(n) * time.Second / crowdRate)))
	}
	if err := conn.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// publish publishes requests from first up to end on connection k: what the client saw, and what the server saw.
func (c *crowd) publish(k, first, end int) error {
	var events [2][]*millracev1.Event
	at := uint64(time.Now().UnixNano()) - uint64(end-first)*10_000
	const answer = "HTTP/1.1 204 No Content\r\n\r\n"
	if c.offsets[k][0] == 0 {
		for i := range events {
			events[i] = append(events[i], &millracev1.Event{Kind: millracev1.EventKind_EVENT_KIND_OPEN, Connection: 1, TimeNs: at})
		}
	}
	for n := first; n < end; n++ {
		for direction, message := range []string{"GET " + crowdPath(n) + " HTTP/1.1\r\nHost: wall\r\n\r\n", answer} {
			for side, kind := range []millracev1.EventKind{millracev1.EventKind_EVENT_KIND_SEND, millracev1.EventKind_EVENT_KIND_RECEIVE} {
				at += 1000
				who := (direction + side) % 2
				events[who] = append(events[who], &millracev1.Event{
					Kind: kind, Connection: 1, TimeNs: at, Thread: uint32(k + 1), Offset: c.offsets[k][direction], Length: uint32(len(message)),
					Payload: []byte(message), DurationNs: 500,
				})
			}
			c.offsets[k][direction] += uint64(len(message))
		}
	}
	for i, p := range c.processes {
		partition := bus.ProcessPartition(p.Id, c.conn.Partitions())
		c.sequences[partition]++
		b := &millracev1.RawBatch{
			Version: 1, Node: "node", Epoch: c.epoch, Partition: uint32(partition), Sequence: c.sequences[partition],
			Processes: []*millracev1.Process{p}, Connections: []*millracev1.Connection{c.ends[k][i]}, Events: events[i],
		}
		data, err := b.MarshalVT()
		if err != nil {
			return err
		}
		if _, err := c.conn.Publish(context.Background(), bus.RawSubject(partition, "node"), "", data); err != nil {
			return err
		}
	}
	return nil
}

// crowdPath is the path of request n: different for each n, and of letters only, so that no rule about digits takes it for an identifier.
func crowdPath(n int) string {
	word := make([]byte, 0, 8)
	for ; len(word) < 6 || n > 0; n /= 20 {
		word = append(word, "bcdfghklmnprstvwzaei"[n%20])
	}
	return "/find/" + string(word[:3]) + "/" + string(word[3:])
}
