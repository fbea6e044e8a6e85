package spans

import (
	"net/netip"
	"strconv"
	"unicode/utf8"

	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// Peer is what pairing, or the other end's address, tells about the other end of an exchange.
type Peer struct {
	// Exchange is the other side's view; nil: it was not seen.
	Exchange *millracev1.Exchange
	// Service is the other side's service.name; may be empty.
	Service string
	// Cluster is what a cluster says of the other side; nil: nothing.
	Cluster *millracev1.Identity
}

// Input is one side of an exchange with everything that was found out about it.
type Input struct {
	Exchange *millracev1.Exchange
	// Attributes are those of the exchange.
	Attributes []attribute.Attribute
	TraceID    [16]byte
	SpanID     uint64
	// ParentID is 0 for a root.
	ParentID   uint64
	Flags      uint32
	Tracestate string
	// Route is the low-cardinality form of the exchange's path; empty if there is none.
	Route string
	// Peer is nil if nothing is known of the other side.
	Peer *Peer
	// Assumed: the trace was decided although a fact that should have decided it was missing.
	Assumed bool
	// Uncertain: whether the request carried a trace context, or what caused it, may have been lost.
	Uncertain bool
	// Completes: the span of this id was sent before, when the exchange was given up.
	Completes bool
	// Late: the server span of this client's exchange had been sent as a root before the client was heard of.
	Late bool
	// DetachedCause is the span id of a cause that cannot be the parent: it ended up in another trace, or is one of
	// several that it may be. 0: there is none.
	DetachedCause uint64
}

// Encoder writes spans. The zero value is ready. Not safe for concurrent use.
type Encoder struct {
	// Anatomy says how where the time of a request went is told.
	Anatomy Anatomy

	e encoder
	// scratch holds texts that are put together of parts, and name the span's.
	scratch, name []byte
}

// Encode gives the protobuf form of a [millracev1.Span]. The bytes are valid until the next call.
func (c *Encoder) Encode(in *Input) []byte {
	x := in.Exchange
	c.e.b, c.e.attribute = c.e.b[:0], tagSpanAttribute
	e := &c.e
	appendField(e, tagSpanTraceID, in.TraceID[:])
	e.fixed(tagSpanSpanID, in.SpanID)
	if in.ParentID != 0 {
		e.fixed(tagSpanParent, in.ParentID)
	}
	e.varint(tagSpanKind, uint64(KindOf(x)))
	e.fixed(tagSpanStart, x.StartUnixNs)
	// Spans never end before they start, whatever clocks did.
	e.fixed(tagSpanEnd, max(x.EndUnixNs, x.StartUnixNs))
	e.varint(tagSpanFlags, uint64(in.Flags))
	if in.Tracestate != "" {
		appendText(e, tagSpanTracestate, in.Tracestate)
	}

	c.name = AppendName(c.name[:0], x, in.Route)
	if utf8.Valid(c.name) {
		appendField(e, tagSpanName, c.name)
	} else {
		appendText(e, tagSpanName, string(c.name))
	}
	outcome(e, x)
	c.said(x, in.Attributes, in.Route)
	c.network(x, in.Peer)
	observed(e, in)
	if c.Anatomy != AnatomyOff {
		phases(e, x)
	}

	st := StatusOf(x)
	if st.Error {
		e.varint(tagSpanStatus, uint64(millracev1.StatusCode_STATUS_CODE_ERROR))
		if st.Message != "" {
			appendText(e, tagSpanStatusMessage, st.Message)
		}
	}
	text(e, "error.type", st.Type)
	for _, link := range x.Links {
		c.link(link)
	}
	return e.b
}

// outcome says how an exchange that is not complete ended.
func outcome(e *encoder, x *millracev1.Exchange) {
	switch x.Outcome {
	case millracev1.Outcome_OUTCOME_CLOSED:
		text(e, "millrace.outcome", "closed")
	case millracev1.Outcome_OUTCOME_RESET:
		text(e, "millrace.outcome", "reset")
	case millracev1.Outcome_OUTCOME_LOST:
		text(e, "millrace.outcome", "lost")
	case millracev1.Outcome_OUTCOME_EXPIRED:
		text(e, "millrace.outcome", "expired")
	case millracev1.Outcome_OUTCOME_ONE_WAY:
		text(e, "millrace.outcome", "one_way")
	case millracev1.Outcome_OUTCOME_UNSPECIFIED, millracev1.Outcome_OUTCOME_COMPLETE:
	}
}

// network adds transport, the peer's address and, at a server, the client's.
func (c *Encoder) network(x *millracev1.Exchange, peer *Peer) {
	e := &c.e
	server := IsServer(x)
	if x.Transport == millracev1.Transport_TRANSPORT_UNIX {
		text(e, "network.transport", "unix")
		text(e, "network.peer.address", x.UnixPath)
		return
	}
	switch x.Transport {
	case millracev1.Transport_TRANSPORT_TCP:
		text(e, "network.transport", "tcp")
	case millracev1.Transport_TRANSPORT_UDP:
		text(e, "network.transport", "udp")
	case millracev1.Transport_TRANSPORT_UNIX, millracev1.Transport_TRANSPORT_UNSPECIFIED:
	}
	address, port := x.RemoteAddress, x.RemotePort
	switch len(address) {
	case 4:
		text(e, "network.type", "ipv4")
	case 16:
		text(e, "network.type", "ipv6")
	}
	if server {
		client, clientPort := address, port
		if len(x.ClientAddress) != 0 { // a load balancer said for whom it connected
			client, clientPort = x.ClientAddress, x.ClientPort
		}
		textBytes(e, "client.address", c.address(client))
		c.port("client.port", clientPort)
	}
	// The pair knows who really answered or asked, where the socket may only know a virtual address.
	if peer != nil && peer.Exchange != nil && len(peer.Exchange.LocalAddress) != 0 {
		address, port = peer.Exchange.LocalAddress, peer.Exchange.LocalPort
	}
	textBytes(e, "network.peer.address", c.address(address))
	c.port("network.peer.port", port)
}

// observed adds what only Millrace knows.
func observed(e *encoder, in *Input) {
	x := in.Exchange
	if in.Peer != nil {
		text(e, "peer.service", in.Peer.Service)
		peerCluster(e, in.Peer.Cluster)
		if in.Peer.Exchange != nil && x.Side == millracev1.Side_SIDE_CLIENT {
			if d, ok := NetworkDuration(x, in.Peer.Exchange); ok {
				e.double("millrace.network.duration", float64(d)/1e9)
			}
		}
	}
	switch x.CauseKind {
	case millracev1.CauseKind_CAUSE_KIND_SAME_TASK:
		text(e, "millrace.cause", "same_task")
	case millracev1.CauseKind_CAUSE_KIND_CHILD_TASK:
		text(e, "millrace.cause", "child_task")
	case millracev1.CauseKind_CAUSE_KIND_HANDOFF:
		text(e, "millrace.cause", "handoff")
	case millracev1.CauseKind_CAUSE_KIND_INFERRED:
		text(e, "millrace.cause", "inferred")
	case millracev1.CauseKind_CAUSE_KIND_UNSPECIFIED:
	}
	if in.DetachedCause != 0 {
		var b [16]byte
		textBytes(e, "millrace.cause.span_id", appendHex(b[:0], in.DetachedCause))
	}
	if in.Assumed {
		e.yes("millrace.trace.assumed")
	}
	if in.Uncertain {
		e.yes("millrace.trace.uncertain")
	}
	if in.Completes {
		e.yes("millrace.completes")
	}
	if in.Late {
		e.yes("millrace.trace.late")
	}
	if x.LostBytes != 0 {
		e.number("millrace.lost_bytes", int64(x.LostBytes))
	}
	if x.SizesEstimated {
		e.yes("millrace.sizes_estimated")
	}
	if x.ConcurrentUse {
		e.yes("millrace.concurrent_use")
	}
	if x.Retransmits != 0 {
		e.number("millrace.tcp.retransmits", int64(x.Retransmits))
	}
	if x.SrttUs != 0 {
		e.double("millrace.tcp.srtt", float64(x.SrttUs)/1e6)
	}
	if x.Unsent != 0 {
		e.number("millrace.tcp.unsent", int64(x.Unsent))
	}
}

// peerNames are what a span says of where the other side runs, under the name with "millrace.peer." in front.
var peerNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"k8s.cluster.name", "k8s.namespace.name", "k8s.pod.name", "k8s.pod.uid", "k8s.container.name", "k8s.node.name",
		"k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name", "k8s.replicaset.name", "k8s.cronjob.name",
		"k8s.job.name", "k8s.service.name",
	} {
		names[name] = "millrace.peer." + name
	}
	return names
}()

// peerCluster adds what a cluster says of the other side.
func peerCluster(e *encoder, c *millracev1.Identity) {
	if c == nil {
		return
	}
	for _, kv := range c.Attributes {
		if name := peerNames[kv.Key]; name != "" {
			text(e, name, kv.GetStringValue())
		}
	}
}

// address gives the text of an IP address; empty if it is none.
func (c *Encoder) address(ip []byte) []byte {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return nil
	}
	c.scratch = a.AppendTo(c.scratch[:0])
	return c.scratch
}

func (c *Encoder) port(key string, port uint32) {
	if port != 0 {
		c.e.number(key, int64(port))
	}
}

func appendHex(b []byte, v uint64) []byte {
	var digits [16]byte
	s := strconv.AppendUint(digits[:0], v, 16)
	for range 16 - len(s) {
		b = append(b, '0')
	}
	return append(b, s...)
}
