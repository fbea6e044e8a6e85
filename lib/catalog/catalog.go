package catalog

import (
	"path"
	"slices"
	"strings"
)

// Feature is a group of metrics, a value of metrics.features.
type Feature string

// Features.
const (
	Application             Feature = "application"
	ApplicationHost         Feature = "application_host"
	ApplicationProcess      Feature = "application_process"
	ApplicationSpan         Feature = "application_span"
	ApplicationServiceGraph Feature = "application_service_graph"
	Network                 Feature = "network"
	NetworkFlowPackets      Feature = "network_flow_packets"
	NetworkInterZone        Feature = "network_inter_zone"
	Stats                   Feature = "stats"
)

// OfConnections reports whether the metrics of the feature are of connections, not of requests.
func (f Feature) OfConnections() bool {
	return f == Network || f == NetworkFlowPackets || f == NetworkInterZone || f == Stats
}

// Kind of a metric.
type Kind uint8

// Kinds.
const (
	// Counter is a monotonic sum.
	Counter Kind = iota
	Histogram
	// Gauge of the constant 1 whose attributes say something.
	Info
)

// Metric is one metric.
type Metric struct {
	// Name under OpenTelemetry's conventions.
	Name string
	// Prometheus is the name for scraping without the suffixes of histograms; that of counters ends in "_total".
	Prometheus string
	// Unit in UCUM; empty for a plain number.
	Unit        string
	Description string
	Kind        Kind
	// Features that switch the metric on, any of them.
	Features []Feature
	// Attributes that it has by default, and those that attributes.select may add. Names are unique over both.
	Attributes, Optional []string
}

// Units of UCUM.
const (
	Seconds = "s"
	Bytes   = "By"
)

var perService = []Feature{Application, ApplicationHost, ApplicationProcess}

// metrics is the list. Metrics of the features application, application_host and application_process are the same, with
// a resource of more and more detail.
var metrics = []Metric{
	duration("http.server.request.duration", "Duration of HTTP requests that the service answered.", httpServer, httpServerMore),
	duration("http.client.request.duration", "Duration of HTTP requests that the service made.", httpClient, httpClientMore),
	size("http.server.request.body.size", "Size of the bodies of HTTP requests that the service received.", httpServer, httpServerMore),
	size("http.server.response.body.size", "Size of the bodies of HTTP responses that the service sent.", httpServer, httpServerMore),
	size("http.client.request.body.size", "Size of the bodies of HTTP requests that the service sent.", httpClient, httpClientMore),
	size("http.client.response.body.size", "Size of the bodies of HTTP responses that the service received.", httpClient, httpClientMore),
	duration("rpc.server.call.duration", "Duration of remote procedure calls that the service answered.", rpc, rpcMore),
	duration("rpc.client.call.duration", "Duration of remote procedure calls that the service made.", rpc, rpcMore),
	duration("db.client.operation.duration", "Duration of database operations that the service asked for.", database, databaseMore),
	duration("messaging.client.operation.duration", "Duration of operations on a message broker that the service asked for.",
		messaging, messagingMore),
	duration("messaging.process.duration", "Duration of the processing of messages by the service.", messaging, messagingMore),
	duration("dns.lookup.duration", "Duration of DNS look-ups that the service made.", dns, dnsMore),
	duration("tls.server.handshake.duration", "From the hello of the client to that of the server, of connections to the service that are encrypted.", tls, tlsMore),
	duration("tls.client.handshake.duration", "The same of connections that the service made.", tls, tlsMore),
	duration("millrace.server.queue.duration",
		"From when the last byte of a request had come to the socket until the service read it: long where it has more to do than it can.",
		queue, queueMore),
	{
		Name: "target_info", Prometheus: "target_info", Kind: Info, Features: perService,
		Description: "Attributes of the resource of each service's metrics.",
	},

	span(Histogram, "traces_spanmetrics_latency", Seconds, "Duration of spans of requests."),
	span(Counter, "traces_spanmetrics_calls_total", "", "Number of spans of requests."),
	span(Counter, "traces_spanmetrics_size_total", Bytes, "Bytes of the requests of spans."),
	span(Counter, "traces_spanmetrics_response_size_total", Bytes, "Bytes of the responses of spans."),
	{
		Name: "traces_target_info", Prometheus: "traces_target_info", Kind: Info, Features: []Feature{ApplicationSpan},
		Description: "Attributes of the resource of each service's spans.",
	},
	{
		Name: "traces_host_info", Prometheus: "traces_host_info", Kind: Info, Features: []Feature{ApplicationHost},
		Description: "Hosts on which services were seen.", Attributes: []string{"host.name"},
	},

	graph(Counter, "traces_service_graph_request_total", "", "Requests between two services."),
	graph(Counter, "traces_service_graph_request_failed_total", "", "Requests between two services that failed."),
	graph(Histogram, "traces_service_graph_request_client", Seconds, "Duration of requests between two services as the client saw it."),
	graph(Histogram, "traces_service_graph_request_server", Seconds, "Duration of requests between two services as the server saw it."),
	graph(Histogram, "traces_service_graph_request_network", Seconds,
		"Time of requests and responses between two services, without their waits in sockets; not for requests of which it is not known when they arrived."),

	flow("obi.network.flow.bytes", Bytes, "Bytes on the wire between two ends, with the headers of IP and TCP, each direction by its sender's count.", Network),
	flow("obi.network.flow.packets", "{packet}", "Segments between two ends, each direction by its sender's count.", NetworkFlowPackets),
	{
		Name: "obi.network.inter.zone.bytes", Prometheus: "obi_network_inter_zone_bytes_total", Unit: Bytes, Kind: Counter,
		Description: "Bytes on the wire from one zone to another.", Features: []Feature{NetworkInterZone},
		Attributes: []string{"src.zone", "dst.zone", "k8s.cluster.name"}, Optional: append(ends("k8s.cluster.name", "src.zone", "dst.zone"), "direction"),
	},
	stat(Histogram, "obi.stat.tcp.rtt", Seconds, "Smoothed round-trip time of connections, for each interval in which they moved segments, and at their end."),
	stat(Histogram, "millrace.tcp.rtt.min", Seconds, "Least round-trip time of the same, without the time for which the other end delays acknowledgements."),
	stat(Counter, "obi.stat.tcp.retransmits", "{segment}", "Segments that were sent again."),
	stat(Counter, "obi.stat.tcp.io", Bytes, "Payload that the service sent and received, each byte once.", "network.io.direction"),
	stat(Counter, "obi.stat.tcp.successful.connections", "{connection}", "Connections that were established.", "network.tcp.handshake.role"),
	stat(Counter, "millrace.tcp.limited.time", Seconds, "Time for which connections were held back by the other end's window or by their own send buffer.", "cause"),
	stat(Counter, "millrace.tcp.resets", "{connection}", "Connections that ended with a reset or an error.", "cause"),
	stat(Histogram, "millrace.tcp.connection.duration", Seconds, "How long connections lasted, of those that were seen to begin."),
	stat(Histogram, "millrace.tcp.connect.duration", Seconds, "How long it took to establish connections, at the end that connected."),
}

// Attributes of metrics: what the semantic conventions recommend and eBPF agents give by default, and what may be
// added.
var (
	httpServer = []string{
		"http.request.method", "http.response.status_code", "http.route", "url.scheme", "server.address", "server.port", "error.type",
		"network.protocol.version",
	}
	httpServerMore = []string{"url.path", "client.address", "peer.service", "network.transport"}
	httpClient     = []string{
		"http.request.method", "http.response.status_code", "url.template", "url.scheme", "server.address", "server.port", "error.type",
		"network.protocol.version",
	}
	httpClientMore = []string{"url.path", "network.peer.address", "peer.service", "network.transport"}
	rpc            = []string{"rpc.system.name", "rpc.method", "rpc.response.status_code", "server.address", "server.port", "error.type"}
	rpcMore        = []string{"network.peer.address", "peer.service"}
	database       = []string{"db.system.name", "db.operation.name", "error.type"}
	databaseMore   = []string{
		"db.namespace", "db.collection.name", "db.query.summary", "db.stored_procedure.name", "db.response.status_code", "server.address",
		"server.port", "network.peer.address", "peer.service", "network.transport",
	}
	messaging     = []string{"messaging.system.name", "messaging.operation.name", "messaging.destination.name", "server.address", "error.type"}
	messagingMore = []string{
		"messaging.operation.type", "messaging.consumer.group.name", "messaging.destination.partition.id", "server.port", "peer.service",
	}
	dns     = []string{"dns.question.name", "error.type"}
	dnsMore = []string{"dns.question.type", "server.address", "server.port"}
	tls     = []string{"tls.protocol.name", "tls.protocol.version", "millrace.tls.server_name_sent", "error.type"}
	tlsMore = []string{
		"tls.client.server_name", "tls.next_protocol", "millrace.tls.alert", "server.address", "server.port", "client.address", "network.peer.address",
		"peer.service",
	}
	queue      = []string{"server.address", "server.port"}
	queueMore  = []string{"http.request.method", "http.route", "rpc.method", "client.address", "peer.service", "error.type"}
	spanMetric = []string{"service", "span.name", "span.kind", "status.code"}
	spanMore   = []string{
		"service.namespace", "error.type", "peer.service", "http.request.method", "http.response.status_code", "http.route",
		"db.system.name", "db.operation.name", "rpc.system.name", "rpc.method", "messaging.system.name", "messaging.destination.name",
	}
	// flowEnds are of few values by themselves: names of services and of ranges, never addresses.
	flowEnds = []string{
		"src.name", "dst.name", "src.cidr", "dst.cidr", "k8s.src.owner.name", "k8s.src.owner.type", "k8s.src.namespace", "k8s.dst.owner.name",
		"k8s.dst.owner.type", "k8s.dst.namespace", "k8s.cluster.name",
	}
	flowMore = slices.Concat(flowEnds, []string{
		"src.address", "dst.address", "src.port", "dst.port", "client.port", "server.port", "src.zone", "dst.zone", "transport", "network.type",
		"k8s.src.name", "k8s.src.type", "k8s.src.node.name", "k8s.dst.name", "k8s.dst.type", "k8s.dst.node.name",
	})
	edge     = []string{"client", "client_service_namespace", "server", "server_service_namespace", "connection_type"}
	edgeMore = slices.Concat(ofEnd("client"), ofEnd("server"))
)

// EndAttributes are what a cluster says of an end of an edge, as resource attributes. Metrics have them with the end in
// front and underscores: client_k8s_namespace_name.
var EndAttributes = []string{
	"k8s.cluster.name", "k8s.namespace.name", "k8s.node.name", "k8s.deployment.name", "k8s.statefulset.name", "k8s.daemonset.name",
	"k8s.cronjob.name", "k8s.job.name", "k8s.pod.name", "cloud.region", "cloud.availability_zone",
}

func ofEnd(end string) (names []string) {
	for _, name := range EndAttributes {
		names = append(names, EndAttribute(end, name))
	}
	return names
}

// EndAttribute gives the name that an attribute of an end of an edge, client or server, has in metrics.
func EndAttribute(end, attribute string) string {
	return end + "_" + strings.ReplaceAll(attribute, ".", "_")
}

func duration(name, description string, attributes, optional []string) Metric {
	return Metric{
		Name: name, Prometheus: strings.ReplaceAll(name, ".", "_") + "_seconds", Unit: Seconds, Kind: Histogram, Description: description,
		Features: perService, Attributes: attributes, Optional: optional,
	}
}

func size(name, description string, attributes, optional []string) Metric {
	return Metric{
		Name: name, Prometheus: strings.ReplaceAll(name, ".", "_") + "_bytes", Unit: Bytes, Kind: Histogram, Description: description,
		Features: perService, Attributes: attributes, Optional: optional,
	}
}

// Names of span and service graph metrics are those that the dashboards of Grafana Tempo's metrics generator and of
// eBPF agents use, without suffixes of units.
func span(kind Kind, name, unit, description string) Metric {
	return Metric{
		Name: name, Prometheus: name, Unit: unit, Kind: kind, Description: description, Features: []Feature{ApplicationSpan},
		Attributes: spanMetric, Optional: spanMore,
	}
}

// ends are the attributes of the two ends of a connection, without those named.
func ends(without ...string) []string {
	var all []string
	for _, name := range flowMore {
		if !slices.Contains(without, name) {
			all = append(all, name)
		}
	}
	return all
}

func flow(name, unit, description string, feature Feature) Metric {
	return Metric{
		Name: name, Prometheus: strings.ReplaceAll(name, ".", "_") + "_total", Unit: unit, Kind: Counter, Description: description,
		Features: []Feature{feature}, Attributes: append([]string{"direction"}, flowEnds...), Optional: ends(flowEnds...),
	}
}

// stat is a metric of one end of connections: src is that end, dst the other one.
func stat(kind Kind, name, unit, description string, attributes ...string) Metric {
	m := Metric{
		Name: name, Prometheus: strings.ReplaceAll(name, ".", "_"), Unit: unit, Kind: kind, Description: description,
		Features: []Feature{Stats}, Attributes: slices.Concat(attributes, flowEnds), Optional: append(ends(flowEnds...), "direction"),
	}
	switch unit {
	case Seconds:
		m.Prometheus += "_seconds"
	case Bytes:
		m.Prometheus += "_bytes"
	}
	if kind == Counter {
		m.Prometheus += "_total"
	}
	return m
}

func graph(kind Kind, name, unit, description string) Metric {
	return Metric{
		Name: name, Prometheus: name, Unit: unit, Kind: kind, Description: description, Features: []Feature{ApplicationServiceGraph},
		Attributes: edge, Optional: edgeMore,
	}
}

var byName = func() map[string]*Metric {
	m := make(map[string]*Metric, len(metrics))
	for i := range metrics {
		m[metrics[i].Name] = &metrics[i]
	}
	return m
}()

// All gives every metric. The caller must not change what it points to.
func All() []Metric { return metrics }

// ByName gives the metric of that OpenTelemetry name.
func ByName(name string) (*Metric, bool) {
	m, found := byName[name]
	return m, found
}

// Selected gives the attributes that a metric has under attributes.select: what include names of all its attributes
// (the default ones where it is empty), without what exclude names. Both are globs over names in either spelling, with
// dots or with underscores. A whole name with dots may be that of any other attribute: protocols have more than the
// list of the metric.
func (m *Metric) Selected(include, exclude []string) []string {
	candidates := m.Attributes
	if len(include) > 0 {
		candidates = slices.Concat(m.Attributes, m.Optional)
	}
	var selected []string
	for _, name := range candidates {
		if (len(include) == 0 || Matches(include, name)) && !Matches(exclude, name) {
			selected = append(selected, name)
		}
	}
	for _, name := range include {
		if IsName(name) && !slices.Contains(candidates, name) && !Matches(exclude, name) && !slices.Contains(selected, name) {
			selected = append(selected, name)
		}
	}
	return selected
}

// IsName reports whether a glob is the whole name of an attribute, with dots.
func IsName(glob string) bool {
	return strings.Contains(glob, ".") && !strings.ContainsAny(glob, `*?[\`)
}

// Named reports whether a glob over names of metrics, under OpenTelemetry's conventions or Prometheus's, names the
// metric.
func (m *Metric) Named(glob string) bool {
	globs := []string{glob}
	return Matches(globs, m.Name) || Matches(globs, m.Prometheus)
}

// Matches reports whether one of the globs is for the name, of a metric or an attribute, in either spelling.
func Matches(globs []string, name string) bool {
	plain := strings.ReplaceAll(name, ".", "_")
	for _, glob := range globs {
		if matched, err := path.Match(strings.ReplaceAll(glob, ".", "_"), plain); err == nil && matched {
			return true
		}
	}
	return false
}
