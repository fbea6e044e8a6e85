package bus

import (
	"encoding/binary"
	"strconv"
	"strings"

	"millrace.dev/lib/identity"
)

// Streams of Millrace.
const (
	StreamRaw      = "MILLRACE_RAW"
	StreamExchange = "MILLRACE_EXCHANGE"
	StreamSpan     = "MILLRACE_SPAN"
	StreamSampled  = "MILLRACE_SAMPLED"
	StreamMetric   = "MILLRACE_METRIC"
	StreamFlow     = "MILLRACE_FLOW"
)

// Key-value buckets of Millrace.
const (
	BucketMembers     = "millrace_members"
	BucketLeases      = "millrace_leases"
	BucketCheckpoints = "millrace_checkpoints"
	BucketProcesses   = "millrace_processes"
	BucketTargets     = "millrace_targets"
)

// HeaderEncoding names the compression of a message: absent or "identity", or "s2" (github.com/klauspost/compress/s2
// block format). Readers refuse others with an error.
const HeaderEncoding = "Millrace-Encoding"

// DefaultPartitions is the number of partitions of a new deployment.
const DefaultPartitions = 32

// RawSubject is where capture on node publishes events of a partition.
func RawSubject(partition int, node string) string {
	return "millrace.raw." + strconv.Itoa(partition) + "." + Token(node)
}

// WatermarkSubject is where decoders say how far the nodes are that tell them. It belongs to StreamRaw, and every
// partition of it reads it: behind such a message in the stream, each has read all that the message speaks for.
const WatermarkSubject = "millrace.raw.progress"

// ExchangeSubject is where the decoder publishes exchanges of a partition.
func ExchangeSubject(partition int) string { return "millrace.exchange." + strconv.Itoa(partition) }

// LinkSubject is where links of a partition are published. It belongs to StreamExchange.
func LinkSubject(partition int) string { return "millrace.link." + strconv.Itoa(partition) }

// ProgressSubject is where decoders say how far they are. It belongs to StreamExchange, and every partition of it reads
// it.
const ProgressSubject = "millrace.link.progress"

// TimeSubject is where stages put marks of time into a stream of Millrace's, see lib/stage. Every partition of the
// stream reads it.
func TimeSubject(stream string) string {
	return "millrace.time." + strings.ToLower(strings.TrimPrefix(stream, "MILLRACE_"))
}

// SpanSubject is where the enricher publishes spans of a partition, service namespace and service name.
func SpanSubject(partition int, namespace, service string) string {
	return "millrace.span." + strconv.Itoa(partition) + "." + Token(namespace) + "." + Token(service)
}

// SampledSubject is where spans of traces that sampling kept are published: as [SpanSubject], of the same partition.
func SampledSubject(partition int, namespace, service string) string {
	return "millrace.sampled." + strconv.Itoa(partition) + "." + Token(namespace) + "." + Token(service)
}

// MetricSubject is where the enricher publishes metric deltas of a partition, see [MetricPartition].
func MetricSubject(partition int) string { return "millrace.metric." + strconv.Itoa(partition) }

// KeptSubject is where notices of kept traces are published. It belongs to StreamMetric.
func KeptSubject(partition int) string { return "millrace.kept." + strconv.Itoa(partition) }

// FlowSubject is where network flows of a partition are published.
func FlowSubject(partition int) string { return "millrace.flow." + strconv.Itoa(partition) }

// Token makes a subject token of any string: letters, digits, '-' and '_' stand for themselves, every other byte
// becomes "=" and two hexadecimal digits. The empty string becomes "_", and "_" itself "=5F".
func Token(s string) string {
	switch s {
	case "":
		return "_"
	case "_":
		return "=5F"
	}
	plain := true
	for i := range len(s) {
		if !tokenByte(s[i]) {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if tokenByte(s[i]) {
			b.WriteByte(s[i])
		} else {
			b.WriteByte('=')
			b.WriteByte(digits[s[i]>>4])
			b.WriteByte(digits[s[i]&15])
		}
	}
	return b.String()
}

func tokenByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// ProcessPartition is the partition of raw events of a process.
func ProcessPartition(process uint64, partitions int) int { return int(process % uint64(partitions)) }

// NodePartition is the partition of raw events in which a node says how far it is.
func NodePartition(node string, partitions int) int {
	return int(identity.Node(node) % uint64(partitions))
}

// ConnectionPartition is the partition of exchanges and links of the connection to which flow (of either direction)
// belongs.
func ConnectionPartition(flow uint64, partitions int) int {
	return int(identity.Connection(flow) % uint64(partitions))
}

// TracePartition is the partition of spans of a trace: that of the connection on which the trace began, for trace ids
// of Millrace's own making. Of others it takes the first half, or the second where the first is zero, as in 64-bit
// trace ids.
func TracePartition(trace [16]byte, partitions int) int {
	h := binary.BigEndian.Uint64(trace[:8])
	if h == 0 {
		h = binary.BigEndian.Uint64(trace[8:])
	}
	return int(h % uint64(partitions))
}

// MetricPartition is the partition of metrics of a service: all series of a service have one writer.
func MetricPartition(namespace, service string, partitions int) int {
	return int(identity.Service(namespace, service) % uint64(partitions))
}
