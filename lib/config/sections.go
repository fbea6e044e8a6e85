package config

import "time"

// Metrics is which metrics are made, of every exchange, before any sampling.
type Metrics struct {
	// Features are the groups of metrics: application, application_host, application_process, application_span,
	// application_service_graph; of connections network, network_flow_packets (with network), network_inter_zone, stats.
	// An empty list: no metrics.
	Features []string `yaml:"features" oneof:"application application_host application_process application_span application_service_graph network network_inter_zone network_flow_packets stats"`
	// Interval is the length of the windows over which exchanges are added up before they are sent on.
	Interval time.Duration `yaml:"interval" range:"1s..10m"`
	// HistogramAggregation is how measurements are counted: by explicit_bucket_histogram or
	// base2_exponential_bucket_histogram.
	HistogramAggregation string `yaml:"histogram_aggregation" oneof:"explicit_bucket_histogram base2_exponential_bucket_histogram"`
	// Buckets are the upper bounds of histograms with explicit buckets.
	Buckets Buckets `yaml:"buckets"`
	// CardinalityLimit bounds the series of one metric of one service, in a window of a partition and at a destination.
	// What goes beyond is counted in a series of its own with the attribute otel.metric.overflow.
	CardinalityLimit int `yaml:"cardinality_limit" range:"1..1000000"`
	// MaxSeries bounds the series of one partition, in a window and at a destination, in the same way.
	MaxSeries int `yaml:"max_series" range:"100..10000000"`
	// ExportInterval is how far apart the points of a series are at destinations that are sent metrics.
	ExportInterval time.Duration `yaml:"export_interval" range:"1s..1h"`
	// TTL is how long a series is exported after the last exchange that added to it.
	TTL time.Duration `yaml:"ttl" range:"10s..168h"`
}

// Buckets are the upper bounds of explicit buckets, ascending.
type Buckets struct {
	// DurationHistogram has the bounds of durations, in seconds.
	DurationHistogram []float64 `yaml:"duration_histogram"`
	// RequestSizeHistogram has the bounds of sizes of requests, in bytes.
	RequestSizeHistogram []float64 `yaml:"request_size_histogram"`
	// ResponseSizeHistogram has the bounds of sizes of responses, in bytes.
	ResponseSizeHistogram []float64 `yaml:"response_size_histogram"`
}

// DNS is how queries for names are seen.
type DNS struct {
	// Ports of servers: UDP datagrams to and from them are looked at, at most eight. 5353 is one that servers inside of
	// clusters have. DNS over TCP is found by its first bytes, on any port.
	Ports []int `yaml:"ports" range:"1..65535" check:"required"`
}

// MaxDNSPorts bounds dns.ports.
const MaxDNSPorts = 8

// Traces are what spans say.
type Traces struct {
	// Anatomy says where the time of a request went: as attributes of its spans (millrace.client.send.duration and so
	// on), and with spans also as two children of each server span: in queue, in the server's socket before it began to
	// read, and processing. off: not at all. Metrics have the wait in the server's socket in any case.
	Anatomy string `yaml:"anatomy" oneof:"attributes spans off"`
}

// Attributes of spans and metrics.
type Attributes struct {
	// Kubernetes metadata.
	Kubernetes KubernetesAttributes `yaml:"kubernetes"`
	// Select attributes per metric: the key is the metric's name in either spelling, or a glob over names. Of several
	// that match, the one that names the metric wins, then the longest.
	Select map[string]AttributeSelection `yaml:"select"`
}

// KubernetesAttributes is metadata of pods and what owns them.
type KubernetesAttributes struct {
	// Enable Kubernetes metadata: autodetect (in a pod, or with `kubeconfig_path`), true or false.
	Enable string `yaml:"enable" oneof:"autodetect true false"`
	// ClusterName is k8s.cluster.name. Empty: none is given, since clusters do not know their names.
	ClusterName string `yaml:"cluster_name"`
	// KubeconfigPath is a kubeconfig file for an enricher outside of the cluster. Empty: the service account of the pod,
	// else, where `enable` is true, the file that the variable KUBECONFIG names.
	KubeconfigPath string `yaml:"kubeconfig_path"`
	// InformersSyncTimeout is how long the enricher waits at its start for what the cluster knows; then it begins
	// without, and says so in /readyz.
	InformersSyncTimeout time.Duration `yaml:"informers_sync_timeout" range:"1s..10m"`
	// PodLabels are globs over keys of labels of pods that become k8s.pod.label.<key>.
	PodLabels []string `yaml:"pod_labels"`
	// PodAnnotations are globs over keys of annotations of pods that become k8s.pod.annotation.<key>.
	PodAnnotations []string `yaml:"pod_annotations"`
	// UseLabels: the labels app.kubernetes.io/instance, /name and /version give service.name and service.version, behind
	// the annotations resource.opentelemetry.io/* and before the names of what owns the pod.
	UseLabels bool `yaml:"use_labels"`
	// Metrics are of each pod, with the pod's attributes (pod), or of each service (service).
	Metrics string `yaml:"metrics" oneof:"pod service"`
}

// AttributeSelection is which attributes a metric has. Names may be written with dots or with underscores;
// docs/metrics.md lists them.
type AttributeSelection struct {
	// Include these attributes; globs are allowed, and whole names of attributes that only a protocol knows. Empty: the
	// metric's default attributes.
	Include []string `yaml:"include"`
	// Exclude these of the included attributes; globs are allowed.
	Exclude []string `yaml:"exclude"`
}

// Routes say how http.route is found where the application does not tell.
type Routes struct {
	// Patterns of paths: /user/:id or /user/{id} for any one segment, /static/* for any segments at the end.
	Patterns []string `yaml:"patterns"`
	// IgnoredPatterns are patterns of paths. Requests to them make no telemetry.
	IgnoredPatterns []string `yaml:"ignored_patterns"`
	// IgnoreMode is what is not made of ignored paths: all, metrics or traces.
	IgnoreMode string `yaml:"ignore_mode" oneof:"all metrics traces"`
	// Unmatched is the route of other paths: unset (none), path (the path itself), wildcard (/**), heuristic (segments
	// that look like values, or turn out to be, are replaced), or low-cardinality (the same, with a limit of its own).
	Unmatched string `yaml:"unmatched" oneof:"unset path wildcard heuristic low-cardinality"`
	// WildcardChar replaces variable segments in heuristic and low-cardinality mode; one character.
	WildcardChar string `yaml:"wildcard_char"`
	// MaxPathSegmentCardinality is how many values a segment that may be a name or not may have in low-cardinality mode
	// before it becomes a wildcard.
	MaxPathSegmentCardinality int `yaml:"max_path_segment_cardinality" range:"1..100000"`
}

// EBPF holds keys of other eBPF agents that keep their meaning.
type EBPF struct {
	// HeuristicSQLDetect looks for SQL in connections of unknown protocol.
	HeuristicSQLDetect bool `yaml:"heuristic_sql_detect" inactive:"true"`
	// MySQLPreparedStatementsCacheSize is how many prepared statements of a MySQL connection are remembered.
	MySQLPreparedStatementsCacheSize int `yaml:"mysql_prepared_statements_cache_size" range:"1..1000000"`
	// PostgresPreparedStatementsCacheSize is how many prepared statements of a PostgreSQL connection are remembered.
	PostgresPreparedStatementsCacheSize int `yaml:"postgres_prepared_statements_cache_size" range:"1..1000000"`
	// PayloadExtraction says which protocols in exchanges of HTTP are looked for.
	PayloadExtraction PayloadExtraction `yaml:"payload_extraction"`
	// ContextPropagation writes trace context into traffic: disabled, headers, ip, http, tcp or all. Millrace joins
	// traces without it.
	ContextPropagation string `yaml:"context_propagation" inactive:"true" oneof:"disabled headers ip http tcp all"`
}

// PayloadExtraction says which protocols in exchanges of HTTP are looked for.
type PayloadExtraction struct {
	// HTTP are those protocols.
	HTTP HTTPExtraction `yaml:"http"`
}

// HTTPExtraction are protocols in exchanges of HTTP.
type HTTPExtraction struct {
	// GraphQL reads bodies of requests and responses of GraphQL: types and names of operations, codes of errors. Nothing
	// else of the bodies leaves the node.
	GraphQL Extraction `yaml:"graphql"`
	// Elasticsearch reads the responses of bulk requests of Elasticsearch and OpenSearch: statuses and types of errors.
	// Their heads are read in any case.
	Elasticsearch Extraction `yaml:"elasticsearch"`
	// AWS reads the heads of calls of AWS services. No body is read.
	AWS Extraction `yaml:"aws"`
}

// Extraction is whether a protocol in exchanges of HTTP is looked for.
type Extraction struct {
	// Enabled looks for it.
	Enabled bool `yaml:"enabled"`
}

// Layers says what is on, by the name of the protocol.
func (e *EBPF) Layers() map[string]bool {
	http := &e.PayloadExtraction.HTTP
	return map[string]bool{"graphql": http.GraphQL.Enabled, "elasticsearch": http.Elasticsearch.Enabled, "aws": http.AWS.Enabled}
}

// PreparedStatements is how many prepared statements of a connection are remembered, by the name of its protocol.
func (e *EBPF) PreparedStatements() map[string]int {
	return map[string]int{"mysql": e.MySQLPreparedStatementsCacheSize, "postgresql": e.PostgresPreparedStatementsCacheSize}
}
