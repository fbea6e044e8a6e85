package catalog

import "strings"

// Feature is a group of metrics, a value of metrics.features.
type Feature string

// Features.
const (
	Application             Feature = "application"
	ApplicationHost         Feature = "application_host"
	ApplicationProcess      Feature = "application_process"
	ApplicationSpan         Feature = "application_span"
	ApplicationServiceGraph Feature = "application_service_graph"
)

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
}

// Units of UCUM.
const (
	Seconds = "s"
	Bytes   = "By"
)

var perService = []Feature{Application, ApplicationHost, ApplicationProcess}

// metrics is the list. Metrics of the features application, application_host and application_process are the same, with a resource of
// more and more detail.
var metrics = []Metric{
	duration("http.server.request.duration", "Duration of HTTP requests that the service answered."),
	duration("http.client.request.duration", "Duration of HTTP requests that the service made."),
	size("http.server.request.body.size", "Size of the bodies of HTTP requests that the service received."),
	size("http.server.response.body.size", "Size of the bodies of HTTP responses that the service sent."),
	size("http.client.request.body.size", "Size of the bodies of HTTP requests that the service sent."),
	size("http.client.response.body.size", "Size of the bodies of HTTP responses that the service received."),
	duration("rpc.server.call.duration", "Duration of remote procedure calls that the service answered."),
	duration("rpc.client.call.duration", "Duration of remote procedure calls that the service made."),
	duration("db.client.operation.duration", "Duration of database operations that the service asked for."),
	duration("messaging.client.operation.duration", "Duration of operations on a message broker that the service asked for."),
	duration("messaging.process.duration", "Duration of the processing of messages by the service."),
	duration("dns.lookup.duration", "Duration of DNS look-ups that the service made."),
	{
		Name: "target_info", Prometheus: "target_info", Kind: Info, Features: perService,
		Description: "Attributes of the resource of each service's metrics.",
	},

	span(Histogram, "traces_spanmetrics_latency", Seconds, "Duration of spans."),
	span(Counter, "traces_spanmetrics_calls_total", "", "Number of spans."),
	span(Counter, "traces_spanmetrics_size_total", Bytes, "Bytes of the requests of spans."),
	span(Counter, "traces_spanmetrics_response_size_total", Bytes, "Bytes of the responses of spans."),
	span(Info, "traces_target_info", "", "Attributes of the resource of each service's spans."),
	{
		Name: "traces_host_info", Prometheus: "traces_host_info", Kind: Info, Features: []Feature{ApplicationHost},
		Description: "Hosts on which services were seen.",
	},

	graph(Counter, "traces_service_graph_request_total", "", "Requests between two services."),
	graph(Counter, "traces_service_graph_request_failed_total", "", "Requests between two services that failed."),
	graph(Histogram, "traces_service_graph_request_client", Seconds, "Duration of requests between two services as the client saw it."),
	graph(Histogram, "traces_service_graph_request_server", Seconds, "Duration of requests between two services as the server saw it."),
	graph(Histogram, "traces_service_graph_request_network", Seconds,
		"Time that requests and their responses spent between two services: the client's duration minus the server's."),
}

func duration(name, description string) Metric {
	return Metric{
		Name: name, Prometheus: strings.ReplaceAll(name, ".", "_") + "_seconds", Unit: Seconds, Kind: Histogram, Description: description,
		Features: perService,
	}
}

func size(name, description string) Metric {
	return Metric{
		Name: name, Prometheus: strings.ReplaceAll(name, ".", "_") + "_bytes", Unit: Bytes, Kind: Histogram, Description: description,
		Features: perService,
	}
}

// Names of span and service graph metrics are those that the dashboards of Grafana Tempo's metrics generator and of eBPF agents use,
// without suffixes of units.
func span(kind Kind, name, unit, description string) Metric {
	return Metric{Name: name, Prometheus: name, Unit: unit, Kind: kind, Description: description, Features: []Feature{ApplicationSpan}}
}

func graph(kind Kind, name, unit, description string) Metric {
	return Metric{
		Name: name, Prometheus: name, Unit: unit, Kind: kind, Description: description, Features: []Feature{ApplicationServiceGraph},
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
