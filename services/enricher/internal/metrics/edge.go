package metrics

import (
	"net/netip"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/enricher/internal/spans"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// edge is that of the service graph which an exchange counts for.
type edge struct {
	client, clientNamespace, server, serverNamespace, connection string
	// clientIP and serverIP are nodes without a name.
	clientIP, serverIP []byte
}

// Values of connection_type, as Grafana Tempo has them, and one of our own.
const (
	virtualNode     = "virtual_node"
	databaseEdge    = "database"
	messagingSystem = "messaging_system"
	// encryptedEdge marks edges that count handshakes: what is asked for over the connections is not seen.
	encryptedEdge = "encrypted"
	// outsider is Tempo's name of clients that are not known.
	outsider = "user"
)

// findEdge decides whether the exchange counts for an edge, and for which. Each request counts once: at the client, or
// at the server where no client is watched.
func (f *facts) findEdge() {
	j := f.joined
	e := &f.edge
	failed := f.status.Error
	if f.client {
		if j.Late {
			return // It was counted at the server, as one without a client.
		}
		e.client, e.clientNamespace = f.source.name, f.source.namespace
		f.findServer()
		if f.has&(1<<durationNanos) != 0 {
			f.set(edgeClientNanos, f.measured[durationNanos])
		}
		if j.Peer != nil {
			if j.Peer.Outcome != millracev1.Outcome_OUTCOME_ONE_WAY {
				f.set(edgeServerNanos, duration(j.Peer))
			}
			if d, ok := spans.NetworkDuration(f.x, j.Peer); ok {
				f.set(edgeNetworkNanos, uint64(d))
			}
			failed = failed || spans.StatusOf(j.Peer).Error
		}
	} else {
		if j.ClientSeen {
			return // It is counted there.
		}
		e.server, e.serverNamespace = f.source.name, f.source.namespace
		e.connection = virtualNode
		f.findClient()
		if f.has&(1<<durationNanos) != 0 {
			f.set(edgeServerNanos, f.measured[durationNanos])
		}
	}
	switch f.kind {
	case kindDatabase:
		e.connection = databaseEdge
	case kindMessaging:
		e.connection = messagingSystem
	case kindTLS:
		e.connection = encryptedEdge
	default:
	}
	f.set(edgeOne, 1)
	if failed {
		f.set(edgeFailed, 1)
	}
}

// findServer names the server: by its service where it is watched, else by the workload that the cluster has behind its
// address, else as the client called it, else by its address.
func (f *facts) findServer() {
	e := &f.edge
	switch {
	case f.peer != nil:
		e.server, e.serverNamespace = f.peer.name, f.peer.namespace
		return
	case f.joined.PeerAddress.GetServiceName() != "":
		e.server, e.serverNamespace = f.joined.PeerAddress.ServiceName, f.joined.PeerAddress.ServiceNamespace
	case f.serverName != "":
		e.server = f.serverName
	case f.x.Transport == millracev1.Transport_TRANSPORT_UNIX:
		e.server = f.x.UnixPath
	default:
		e.serverIP = f.x.RemoteAddress
	}
	e.connection = virtualNode
}

// findClient names a client that is not watched: by the workload that the cluster has at its address, else by the
// address where that is one of a private network. The addresses of the internet are too many, and one "user" to a
// graph.
func (f *facts) findClient() {
	if id := f.joined.PeerAddress; id.GetServiceName() != "" {
		f.edge.client, f.edge.clientNamespace = id.ServiceName, id.ServiceNamespace
		return
	}
	address, ok := netip.AddrFromSlice(f.x.RemoteAddress)
	if address = address.Unmap(); ok && (address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast()) {
		f.edge.clientIP = f.x.RemoteAddress
		return
	}
	f.edge.client = outsider
}

var edgeFields = append([]field{
	{"client", func(dst []byte, f *facts) []byte { return appendNode(dst, f.edge.client, f.edge.clientIP) }},
	{"client_service_namespace", func(dst []byte, f *facts) []byte { return appendText(dst, f.edge.clientNamespace) }},
	{"server", func(dst []byte, f *facts) []byte { return appendNode(dst, f.edge.server, f.edge.serverIP) }},
	{"server_service_namespace", func(dst []byte, f *facts) []byte { return appendText(dst, f.edge.serverNamespace) }},
	{"connection_type", func(dst []byte, f *facts) []byte { return appendText(dst, f.edge.connection) }},
}, endFields()...)

// endFields are what the cluster says of both ends.
func endFields() (fields []field) {
	for _, attribute := range catalog.EndAttributes {
		fields = append(fields,
			field{catalog.EndAttribute("client", attribute), func(dst []byte, f *facts) []byte { return appendSaid(dst, f.end(true), attribute) }},
			field{catalog.EndAttribute("server", attribute), func(dst []byte, f *facts) []byte { return appendSaid(dst, f.end(false), attribute) }})
	}
	return fields
}

// end is what the cluster says of the client or of the server: of its process, or where that is not known of its
// address. It may be nil.
func (f *facts) end(client bool) *millracev1.Identity {
	switch {
	case client == f.client:
		return f.joined.Process.Cluster
	case f.joined.PeerProcess != nil:
		return f.joined.PeerProcess.Cluster
	}
	return f.joined.PeerAddress
}

// appendSaid appends an attribute of an identity.
func appendSaid(dst []byte, of *millracev1.Identity, attribute string) []byte {
	for _, kv := range of.GetAttributes() {
		if kv.Key == attribute {
			return appendText(dst, kv.GetStringValue())
		}
	}
	return append(dst, absent)
}

func appendNode(dst []byte, name string, ip []byte) []byte {
	if name != "" {
		return appendText(dst, name)
	}
	return appendAddress(dst, ip)
}
