package traffic

import "sync"

// Kinds of spans, as OTLP numbers them.
const (
	Server = 2
	Client = 3
)

// Span is one that must come.
type Span struct {
	Trace, ID, Parent string // hexadecimal; no parent: empty
	Kind              int
	Name, Target      string // Target is empty for Redis
	Service, Peer     string
	PID               int
	Start, End        int64 // nanoseconds since the Unix epoch
	Network           int64 // of a client: nanoseconds between the ends, without waits in sockets
	Queue             int64 // of a server: nanoseconds that the request waited in its socket
	Status            int   // of HTTP, 0 for Redis
}

// Truth collects the spans of whatever began.
type Truth struct {
	mu    sync.Mutex
	spans []Span
}

func (t *Truth) add(s Span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spans = append(t.spans, s)
}

// Spans gives all spans of the traffic so far. They are complete when the load has stopped.
func (t *Truth) Spans() []Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spans[:len(t.spans):len(t.spans)]
}
