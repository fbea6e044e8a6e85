package metrics

import millracev1 "millrace.dev/proto/millrace/v1"

// kind is what an exchange is to metrics: protocols of one kind have the same metrics.
type kind uint8

const (
	kindOther kind = iota
	kindHTTP
	kindRPC
	kindDatabase
	kindMessaging
	kindDNS
	kindTLS
	kinds
)

// kindOf gives the kind of an exchange: its family.
func kindOf(x *millracev1.Exchange) kind {
	switch x.Family {
	case millracev1.Family_FAMILY_HTTP:
		return kindHTTP
	case millracev1.Family_FAMILY_RPC:
		return kindRPC
	case millracev1.Family_FAMILY_DATABASE:
		return kindDatabase
	case millracev1.Family_FAMILY_MESSAGING:
		return kindMessaging
	case millracev1.Family_FAMILY_DNS:
		return kindDNS
	case millracev1.Family_FAMILY_TLS:
		return kindTLS
	default:
		return kindOther
	}
}

// quantity is what can be measured of an exchange. An exchange need not have each.
type quantity uint8

const (
	// one counts exchanges.
	one quantity = iota
	// durationNanos is from the first byte of the request to the last of the response.
	durationNanos
	requestBody
	responseBody
	// requestBytes and responseBytes are with headers and framing.
	requestBytes
	responseBytes
	// queueNanos is how long a request waited in the server's socket.
	queueNanos
	// Of edges of the service graph.
	edgeOne
	edgeFailed
	edgeClientNanos
	edgeServerNanos
	edgeNetworkNanos
	quantities
)

// side of exchanges that an instrument is for.
type side uint8

const (
	server side = 1 << iota
	client
	both = server | client
)

// instrument says which exchanges a metric covers and what it measures of them.
type instrument struct {
	metric   string
	kinds    []kind
	sides    side
	quantity quantity
}

var (
	// requests are all but handshakes, after which more is asked for than is seen. every has those as well.
	requests                       = []kind{kindOther, kindHTTP, kindRPC, kindDatabase, kindMessaging, kindDNS}
	every                          = append(requests[:len(requests):len(requests)], kindTLS)
	ofHTTP, ofRPC, ofDatabase      = []kind{kindHTTP}, []kind{kindRPC}, []kind{kindDatabase}
	ofMessaging, ofDNS, handshakes = []kind{kindMessaging}, []kind{kindDNS}, []kind{kindTLS}
)

// instruments is the list of what is measured.
var instruments = []instrument{
	{"http.server.request.duration", ofHTTP, server, durationNanos},
	{"http.client.request.duration", ofHTTP, client, durationNanos},
	{"http.server.request.body.size", ofHTTP, server, requestBody},
	{"http.server.response.body.size", ofHTTP, server, responseBody},
	{"http.client.request.body.size", ofHTTP, client, requestBody},
	{"http.client.response.body.size", ofHTTP, client, responseBody},
	{"rpc.server.call.duration", ofRPC, server, durationNanos},
	{"rpc.client.call.duration", ofRPC, client, durationNanos},
	{"db.client.operation.duration", ofDatabase, client, durationNanos},
	{"messaging.client.operation.duration", ofMessaging, client, durationNanos},
	{"messaging.process.duration", ofMessaging, server, durationNanos},
	{"dns.lookup.duration", ofDNS, client, durationNanos},
	{"tls.server.handshake.duration", handshakes, server, durationNanos},
	{"tls.client.handshake.duration", handshakes, client, durationNanos},
	{"millrace.server.queue.duration", requests, server, queueNanos},

	{"traces_spanmetrics_latency", requests, both, durationNanos},
	{"traces_spanmetrics_calls_total", requests, both, one},
	{"traces_spanmetrics_size_total", requests, both, requestBytes},
	{"traces_spanmetrics_response_size_total", requests, both, responseBytes},

	{"traces_service_graph_request_total", every, both, edgeOne},
	{"traces_service_graph_request_failed_total", every, both, edgeFailed},
	{"traces_service_graph_request_client", every, both, edgeClientNanos},
	{"traces_service_graph_request_server", every, both, edgeServerNanos},
	{"traces_service_graph_request_network", every, both, edgeNetworkNanos},
}
