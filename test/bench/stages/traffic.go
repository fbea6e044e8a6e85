package main

import (
	"context"
	"fmt"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Shape of the traffic: services that call each other over kept connections, as capture reports them.
const (
	pairs       = 64 // of a client process and a server process
	connections = 4  // of each pair
	perBatch    = 100
)

// publish writes the given number of requests to the raw stream: both ends of each, in batches of one process; so many
// a second, or as fast as the server takes them if rate is 0.
func publish(ctx context.Context, conn *bus.Conn, requests, rate int) error {
	request := "GET /api/items/42?x=1 HTTP/1.1\r\nHost: service.local:8080\r\nUser-Agent: Go-http-client/1.1\r\n\r\n"
	response := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"hello\":\"w\"}"
	began := time.Now()
	clock, step := uint64(1e9), uint64(100_000)
	if rate > 0 {
		step = uint64(time.Second) / uint64(rate) //nolint:gosec // Positive.
	}
	done := 0
	for sequence := 1; done < requests; sequence++ {
		for pair := 0; pair < pairs && done < requests; pair++ {
			n := min(perBatch, requests-done)
			for side := range 2 {
				b := batch(pair, side, sequence, n, clock, step, request, response)
				b.ClockOffsetNs = began.UnixNano() - 1e9
				data, err := b.MarshalVT()
				if err != nil {
					return err
				}
				subject := bus.RawSubject(bus.ProcessPartition(b.Processes[0].Id, conn.Partitions()), b.Node)
				if _, err := conn.Publish(ctx, subject, "", data); err != nil {
					return err
				}
			}
			done += n
			clock += uint64(n) * step
			if rate > 0 {
				time.Sleep(time.Until(began.Add(time.Duration(done) * time.Second / time.Duration(rate))))
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
	}
	return conn.Flush(ctx)
}

func batch(pair, side, sequence, n int, clock, step uint64, request, response string) *millracev1.RawBatch {
	id := uint64(1000 + 2*pair + side)
	b := &millracev1.RawBatch{
		Version: 1, Node: fmt.Sprintf("node%d", side), Epoch: 1, Partition: uint32(id % bus.DefaultPartitions), Sequence: 0,
		Processes: []*millracev1.Process{{
			Id: id, Node: fmt.Sprintf("node%d", side), Pid: uint32(id), Command: fmt.Sprintf("service%d", pair%8), //nolint:gosec // Small.
		}},
	}
	for c := range connections {
		flow := uint64(pair*connections+c+1)<<32 | uint64(1_000_000+pair*connections+c)
		role := millracev1.Role_ROLE_CLIENT
		if side == 1 {
			flow, role = identity.Reverse(flow), millracev1.Role_ROLE_SERVER
		}
		b.Connections = append(b.Connections, &millracev1.Connection{
			SendFlow: flow, ReceiveFlow: identity.Reverse(flow), Socket: id*100 + uint64(c), Process: id,
			Transport: millracev1.Transport_TRANSPORT_TCP, Role: role, LocalAddress: []byte{10, 0, 0, byte(side)}, LocalPort: 8080,
			RemoteAddress: []byte{10, 0, 0, byte(1 - side)}, RemotePort: 8080, OpenedNs: 1,
		})
	}
	for i := range n {
		c := i % connections
		before := uint64((sequence-1)*perBatch/connections + i/connections)
		send, receive := millracev1.EventKind_EVENT_KIND_SEND, millracev1.EventKind_EVENT_KIND_RECEIVE
		if side == 1 {
			send, receive = receive, send
		}
		at := clock + uint64(i)*step
		for k, text := range []string{request, response} {
			b.Events = append(b.Events, &millracev1.Event{
				Kind: [2]millracev1.EventKind{send, receive}[k], Connection: uint32(c + 1), TimeNs: at + uint64(k)*step/2,
				Offset: before * uint64(len(text)), Length: uint32(len(text)), Payload: []byte(text), Thread: uint32(1 + c),
			})
		}
	}
	return b
}
