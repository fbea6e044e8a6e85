package config

import (
	"fmt"
	"os"
	"time"
)

// Config is the whole file.
type Config struct {
	Bus        Bus        `yaml:"bus"`
	Capture    Capture    `yaml:"capture"`
	Decoder    Decoder    `yaml:"decoder"`
	Enricher   Enricher   `yaml:"enricher"`
	Exporters  Exporters  `yaml:"exporters"`
	Telemetry  Telemetry  `yaml:"telemetry"`
	Discovery  Discovery  `yaml:"discovery"`
	Metrics    Metrics    `yaml:"metrics"`
	Network    Network    `yaml:"network"`
	DNS        DNS        `yaml:"dns"`
	Attributes Attributes `yaml:"attributes"`
	Routes     Routes     `yaml:"routes"`
	EBPF       EBPF       `yaml:"ebpf"`
	Sampling   Sampling   `yaml:"sampling"`
	Traces     Traces     `yaml:"traces"`
}

// Values of bus.storage and bus.compression.
const (
	StorageMemory   = "memory"
	StorageFile     = "file"
	CompressionS2   = "s2"
	CompressionNone = "none"
)

// Values of metrics.histogram_aggregation.
const (
	ExplicitBuckets    = "explicit_bucket_histogram"
	ExponentialBuckets = "base2_exponential_bucket_histogram"
)

// Bus says which NATS to use.
type Bus struct {
	// URL of the NATS server or servers, separated by commas. Empty: `millrace run` embeds a server; other services
	// need it.
	URL string `yaml:"url" secret:"url"`
	// CredentialsFile is a NATS credentials file (.creds).
	CredentialsFile string `yaml:"credentials_file"`
	// TLS of the connection to NATS.
	TLS TLS `yaml:"tls"`
	// Partitions of every stream, fixed when the streams are created.
	Partitions int `yaml:"partitions" range:"1..4096"`
	// Storage of the streams: memory or file.
	Storage string `yaml:"storage" oneof:"memory file"`
	// Replicas of the streams; more than 1 needs as many servers in a cluster.
	Replicas int `yaml:"replicas" oneof:"1 3 5"`
	// MaxAge of messages in the streams: how long an outage of what comes after a stream may last.
	MaxAge time.Duration `yaml:"max_age" range:"1m..8760h"`
	// MaxBytes of each stream; beyond it the oldest messages go. The server sets as much aside for each of the six
	// streams.
	MaxBytes ByteSize `yaml:"max_bytes" range:"1MiB..16TiB"`
	// MaxPending bounds the bytes that one service has published and that no server has acknowledged yet. When it is
	// reached, publishing waits: capture then drops its oldest batches (counted), the other services fall behind.
	MaxPending ByteSize `yaml:"max_pending" range:"1MiB..4GiB"`
	// Compression of messages: s2 or none.
	Compression string `yaml:"compression" oneof:"s2 none"`
	// Embedded server of `millrace run`.
	Embedded Embedded `yaml:"embedded"`
}

// Embedded is the NATS server inside `millrace run`.
type Embedded struct {
	// Listen is the address on which the embedded server takes connections of other clients. Empty: in-process only.
	// An address that only this machine can reach (127.0.0.1, ::1, localhost) needs no users, and every user of the
	// machine can then read and write everything on the bus; any other needs users_file.
	Listen string `yaml:"listen" check:"address"`
	// UsersFile has the users that the embedded server takes connections of: a role of `millrace nats roles` and its
	// password, or the password's bcrypt hash, on each line. Each may do what its role may.
	UsersFile string `yaml:"users_file"`
	// CertFile is the embedded server's certificate in PEM. Without one, passwords and payload cross the network as
	// they are.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the certificate's private key in PEM.
	KeyFile string `yaml:"key_file"`
	// StoreDir is where file storage lives. Used with bus.storage file.
	StoreDir string `yaml:"store_dir"`
}

// TLS is client-side TLS.
type TLS struct {
	// CAFile is a PEM file of the authorities that may have signed the server's certificate. Empty: those of the
	// system.
	CAFile string `yaml:"ca_file"`
	// CertFile is this client's certificate in PEM, for servers that ask for one. Goes with key_file.
	CertFile string `yaml:"cert_file"`
	// KeyFile is the certificate's private key in PEM.
	KeyFile string `yaml:"key_file"`
}

// Capture is the privileged part on each node.
type Capture struct {
	// Node name of this machine. Empty: the host name.
	Node string `yaml:"node"`
	// FlushInterval is the longest time an event waits for its batch. 50ms to 200ms suit most: shorter costs processor
	// time, longer costs latency.
	FlushInterval time.Duration `yaml:"flush_interval" range:"10ms..5s"`
	// BatchBytes is the size at which a batch is published at once.
	BatchBytes ByteSize `yaml:"batch_bytes" range:"4KiB..4MiB"`
	// SendBuffer bounds the batches waiting for NATS, compressed as bus.compression says; beyond it the oldest are
	// dropped and counted.
	SendBuffer ByteSize `yaml:"send_buffer" range:"1MiB..4GiB"`
	// RingBuffer is the size of the kernel's ring buffer, a power of two.
	RingBuffer ByteSize `yaml:"ring_buffer" range:"64KiB..1GiB" check:"power_of_two"`
	// PayloadBytes is the most bytes shipped of one send or receive. Of a larger one only the first and last bytes are
	// shipped; below a few KiB that cuts the heads of messages, and what a pipeline has beyond it is not seen.
	PayloadBytes int `yaml:"payload_bytes" range:"64..4194304"`
	// MessageBytes is the most payload shipped in one direction after the start of a message was seen, where it is not
	// known what of it is body: later sends and receives ship only their first and last bytes, until a message begins.
	MessageBytes int `yaml:"message_bytes" range:"64..16777216"`
	// MaxConnections bounds the TCP connections that are followed at once: those that moved data for a process that is
	// watched, or may be. About 300 bytes of kernel memory each, and some hundred more in capture. Those beyond are
	// counted as lost, and readiness says so. 0: one for each 512 KiB of the machine's memory, from 16384 to 262144.
	MaxConnections int `yaml:"max_connections" range:"0..16777216"`
	// ArrivalTimes notes when bytes arrive at a socket, so that it is known how long a request waited there until it was
	// read. Without it the time that a request and its response spent in the network is not known either.
	ArrivalTimes bool `yaml:"arrival_times"`
	// CgroupPrefix restricts capture to processes below this cgroup path, in the hierarchy of version 2. Empty: all. It
	// is for machines that are several nodes of a cluster, which share one kernel: each node's capture would report the
	// processes of all of them.
	CgroupPrefix string `yaml:"cgroup_prefix"`
	// DropPrivileges takes from the process, once capture has started, the capabilities that it no longer needs, the
	// way to new ones, and system calls that no part of Millrace makes. In the all-in-one that goes for all parts.
	DropPrivileges bool `yaml:"drop_privileges"`
	// AllowedObjects are the SHA-256 hashes, in hexadecimal, of the eBPF objects that may be loaded. Capture logs those of
	// its own at the start, and loads nothing if one is not listed. Empty: those that capture was built with.
	AllowedObjects []string `yaml:"allowed_objects"`
	// CloudMetadata asks the cloud at its link-local address 169.254.169.254, once at the start and for two seconds at
	// most, for what the machine's own files do not say of region, zone, account and instance.
	CloudMetadata bool `yaml:"cloud_metadata"`
	// Redact says what is blanked before anything leaves the node.
	Redact Redact `yaml:"redact"`
}

// NodeName is the name of this machine.
func (c Capture) NodeName() (string, error) {
	if c.Node != "" {
		return c.Node, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("host name (set capture.node): %w", err)
	}
	return name, nil
}

// Redact is redaction at the edge: what is not needed, and may be a secret, is blanked before it leaves the node.
type Redact struct {
	// Enable blanking. Without it whole heads and commands leave the node; bodies do not.
	Enable bool `yaml:"enable"`
	// Literals of Redis commands are blanked: every argument that is no key, field or option of a known command. Set it
	// to false together with decoder.keep_statements, or that shows blanks. Passwords are blanked in any case.
	Literals bool `yaml:"literals"`
	// Headers whose values are blanked even if allow_headers names them, besides the built-in ones (Authorization,
	// Proxy-Authorization, Cookie, Set-Cookie, X-Api-Key, X-Auth-Token and the like). Case does not matter; globs are
	// allowed.
	Headers []string `yaml:"headers"`
	// AllowHeaders are headers whose values leave the node, besides those that Millrace uses (Host, Content-Length,
	// Transfer-Encoding, Content-Type, User-Agent, traceparent, tracestate). All others are blanked. Of URLs in them,
	// user information, queries and fragments are blanked. Case does not matter; globs are allowed.
	AllowHeaders []string `yaml:"allow_headers"`
	// QueryParameters whose values are blanked in HTTP targets even if allow_query_parameters names them, besides the
	// built-in ones (token, password, code and the like, in any spelling). Globs are allowed.
	QueryParameters []string `yaml:"query_parameters"`
	// AllowQueryParameters are query parameters whose values leave the node unless they look like credentials, besides
	// the built-in ones (id, page, limit, sort, q and the like). Of all others, only numbers and short words do. Globs
	// are allowed.
	AllowQueryParameters []string `yaml:"allow_query_parameters"`
}

// Decoder turns raw events into exchanges.
type Decoder struct {
	// MaxStreamBytes bounds the bytes buffered of one direction of one connection.
	MaxStreamBytes ByteSize `yaml:"max_stream_bytes" range:"4KiB..1GiB"`
	// MaxConnections bounds the connections tracked in one partition; beyond it the least recently used is given up.
	MaxConnections int `yaml:"max_connections" range:"1..10000000"`
	// ExchangeTimeout is how long a request waits for its response since its end may have been missed, because events
	// were lost or its node is silent. A request on an open connection that lost nothing is never given up.
	ExchangeTimeout time.Duration `yaml:"exchange_timeout" range:"100ms..24h"`
	// KeepStatements keeps literals of statements (Redis arguments, SQL) instead of replacing them. The node blanks
	// them unless capture.redact.literals is off.
	KeepStatements bool `yaml:"keep_statements"`
	// ExchangeDetails describes exchanges of HTTP/1 and Redis as versions did that know no attributes of exchanges.
	// Switch it on while an enricher of such a version still reads what this decoder writes.
	ExchangeDetails bool `yaml:"exchange_details"`
}

// Enricher pairs, resolves traces and adds identity.
type Enricher struct {
	// HoldTime is how long an exchange waits for its other side and its trace.
	HoldTime time.Duration `yaml:"hold_time" range:"10ms..10m"`
	// MaxPending bounds the exchanges waiting in one partition; beyond it the oldest are sent on as they are, counted.
	MaxPending int `yaml:"max_pending" range:"1..100000000"`
}

// Exporters are where spans and metrics go. Settings below a name are those of the OpenTelemetry Collector's exporter
// of that name; every exporter of spans and metrics takes signals, temporality, filter and attributes besides, as
// exporters.file has them.
type Exporters struct {
	// OTLP is OTLP over gRPC: endpoint, tls, headers, compression, timeout, retry_on_failure, ...
	OTLP map[string]any `yaml:"otlp"`
	// OTLPHTTP is OTLP over HTTP.
	OTLPHTTP map[string]any `yaml:"otlphttp"`
	// Debug writes to standard error: verbosity basic, normal or detailed.
	Debug map[string]any `yaml:"debug"`
	// File writes OTLP JSON, one object a line.
	File *FileExporter `yaml:"file"`
	// Prometheus serves metrics for scraping.
	Prometheus *PrometheusExporter `yaml:"prometheus"`
	// Named are further exporters of a kind, as many as needed: the kind, a slash and a name of your choice, for
	// example otlp/tempo or otlphttp/mimir. Their settings are those of the kind.
	Named map[string]map[string]any `yaml:"<kind>/<name>" kinds:"otlp otlphttp debug file"`
}

// FileExporter writes OTLP JSON lines.
type FileExporter struct {
	// Path of the file; created if missing, appended to.
	Path string `yaml:"path" mapstructure:"path" check:"required"`
	// MetricsPath is a file of its own for metrics. Empty: they go to the same one.
	MetricsPath string `yaml:"metrics_path" mapstructure:"metrics_path"`
	// Signals that the destination gets: traces, metrics. Empty: both.
	Signals []string `yaml:"signals" mapstructure:"signals" oneof:"traces metrics"`
	// Temporality of metrics: cumulative (since the series began) or delta (since the last point). Empty: cumulative.
	Temporality string `yaml:"temporality" mapstructure:"temporality" check:"optional" oneof:"cumulative delta"`
	// Filter says which services and which metrics the destination gets.
	Filter ExportFilter `yaml:"filter" mapstructure:"filter"`
	// Attributes that the destination gets.
	Attributes ExportAttributes `yaml:"attributes" mapstructure:"attributes"`
}

// PrometheusExporter serves metrics for scraping.
type PrometheusExporter struct {
	// Endpoint is the host:port to scrape.
	Endpoint string `yaml:"endpoint" check:"address"`
	// Filter says which services and which metrics the endpoint serves.
	Filter ExportFilter `yaml:"filter"`
	// Attributes that are served. Those of spans do not matter here.
	Attributes ExportAttributes `yaml:"attributes"`
}

// ExportFilter is what a destination gets.
type ExportFilter struct {
	// Services by service.name.
	Services Globs `yaml:"services" mapstructure:"services"`
	// Namespaces by service.namespace; the empty text is no namespace.
	Namespaces Globs `yaml:"namespaces" mapstructure:"namespaces"`
	// Metrics by name, with dots or underscores.
	Metrics Globs `yaml:"metrics" mapstructure:"metrics"`
}

// ExportAttributes is which attributes a destination gets. Series that differ only in what is left out become one
// series. Attributes service.name and service.namespace always stay.
type ExportAttributes struct {
	// Spans are the attributes of spans.
	Spans Globs `yaml:"spans" mapstructure:"spans"`
	// Metrics are the attributes of metrics.
	Metrics Globs `yaml:"metrics" mapstructure:"metrics"`
	// Resource attributes of both.
	Resource Globs `yaml:"resource" mapstructure:"resource"`
}

// Globs choose names.
type Globs struct {
	// Include names that match one of these globs. Empty: all.
	Include []string `yaml:"include" mapstructure:"include"`
	// Exclude these of them.
	Exclude []string `yaml:"exclude" mapstructure:"exclude"`
}

// Telemetry is Millrace's own.
type Telemetry struct {
	// Listen address of /healthz, /readyz and /metrics. Empty: off.
	Listen string `yaml:"listen" check:"address"`
	// LogLevel: debug, info, warn or error.
	LogLevel string `yaml:"log_level" oneof:"debug info warn error"`
	// LogFormat: text or json.
	LogFormat string `yaml:"log_format" oneof:"text json"`
}

// Any reports whether a destination of spans is configured.
func (e *Exporters) Any() bool {
	return e.OTLP != nil || e.OTLPHTTP != nil || e.Debug != nil || e.File != nil || len(e.Named) > 0
}
