package traffic

import (
	"fmt"
	"math/rand/v2"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/identity"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// node is a machine; its clock counts from boot.
type node struct {
	name   string
	offset int64 // to be added to its time to get nanoseconds since the Unix epoch

	conn     *bus.Conn // by which it publishes
	unstored unstored
}

// process is one of a lane.
type process struct {
	node    *node
	facts   *millracev1.Process
	service string
	address []byte
	port    uint32
}

func newProcess(rng *rand.Rand, n *node, service string, pid int) *process {
	p := &process{node: n, service: service, address: []byte{10, 77, byte(pid >> 8), byte(pid)}, port: 8080}
	p.facts = &millracev1.Process{
		Id: rng.Uint64() | 1, Node: n.name, Pid: uint32(pid), NamespacePid: uint32(pid), Command: service,
		ExecutablePath: "/usr/bin/" + service, OtelServiceName: service, ListenPorts: []uint32{p.port},
	}
	return p
}

// end is one end of a connection, with how far its streams are.
type end struct {
	process        *process
	facts          *millracev1.Connection
	sent, received uint64
}

// dial makes a connection. at is nanoseconds since the Unix epoch.
func dial(rng *rand.Rand, client, server *process, at int64) (atClient, atServer *end) {
	flow := rng.Uint64() | 1<<32 | 1
	local := 32768 + rng.Uint32N(28000)
	atClient = &end{process: client, facts: &millracev1.Connection{
		SendFlow: flow, ReceiveFlow: identity.Reverse(flow), Socket: rng.Uint64() | 1, Process: client.facts.Id,
		Transport: millracev1.Transport_TRANSPORT_TCP, Role: millracev1.Role_ROLE_CLIENT,
		LocalAddress: client.address, LocalPort: local, RemoteAddress: server.address, RemotePort: server.port,
		OpenedNs: uint64(at - client.node.offset), ConnectingNs: uint64(at - 1000 - client.node.offset),
	}}
	atServer = &end{process: server, facts: &millracev1.Connection{
		SendFlow: identity.Reverse(flow), ReceiveFlow: flow, Socket: rng.Uint64() | 1, Process: server.facts.Id,
		Transport: millracev1.Transport_TRANSPORT_TCP, Role: millracev1.Role_ROLE_SERVER,
		LocalAddress: server.address, LocalPort: server.port, RemoteAddress: client.address, RemotePort: local,
		OpenedNs: uint64(at - server.node.offset),
	}}
	return atClient, atServer
}

func spanID(k identity.Key, side millracev1.Side) string {
	return fmt.Sprintf("%016x", identity.Span(k, side))
}
