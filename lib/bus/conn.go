package bus

import (
	"context"
	"errors"
	"fmt"
	neturl "net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/config"
)

const (
	connectTimeout = 5 * time.Second
	// Waits between attempts to connect, doubled from the first to the last.
	minRetry = 250 * time.Millisecond
	maxRetry = 5 * time.Second
	// drainTimeout bounds how long Close waits for acknowledgements.
	drainTimeout = 5 * time.Second
)

// State is what a connection tells its observer.
type State int

// States of a connection.
const (
	// Waiting: an attempt to connect failed, or the connection was lost. It is tried again until it works.
	Waiting State = iota
	// Connected: a server answered.
	Connected
	// Closed: by [Conn.Close]. Final.
	Closed
)

// String gives the name of the state.
func (s State) String() string {
	switch s {
	case Waiting:
		return "waiting"
	case Connected:
		return "connected"
	case Closed:
		return "closed"
	default:
		return fmt.Sprintf("State(%d)", int(s))
	}
}

// Observer gets the state of a connection: once per failed first attempt, and at each change after that. err
// says why a connection is [Waiting]. It is called from goroutines of the connection, one call at a time, and must not
// block.
type Observer func(state State, err error)

// Conn is a connection to NATS. It is safe for concurrent use.
type Conn struct {
	cfg       config.Bus
	nats      *nats.Conn
	jetStream jetstream.JetStream
	publisher *publisher
	observe   Observer

	stop      context.CancelFunc // ends watch
	watched   sync.WaitGroup
	closeOnce sync.Once

	// What Control and Apart connect with.
	clientName string
	options    []nats.Option
	connecting sync.Mutex // guards control
	control    *Conn

	denials *denials // shared with control and connections apart

	mu      sync.Mutex
	apart   []*Conn
	ensured map[string]bool                     // streams that EnsureStreams was called for
	drift   map[string]bool                     // streams whose limits differ and may not be changed
	buckets map[string]jetstream.KeyValueConfig // that KeyValue has handed out
}

// Connect connects to the servers of cfg.URL, or to where options lead (an in-process server). It tries again with
// growing pauses until a server answers or ctx ends; only settings that can never work (a missing credentials file, a
// malformed URL) fail at once. ctx does not limit the life of the connection, [Conn.Close] does. clientName is what the
// server's operators see, and answers come below [InboxPrefix] of it.
//
// The connection reconnects for ever, and while it is away requests and core publishes fail at once instead of being
// buffered: [Conn.Publish] has its own, bounded buffer.
func Connect(ctx context.Context, cfg config.Bus, clientName string, options ...nats.Option) (*Conn, error) {
	return ConnectObserved(ctx, cfg, clientName, nil, options...)
}

// ConnectObserved is [Connect] with an observer of the connection's state, which may be nil.
func ConnectObserved(ctx context.Context, cfg config.Bus, clientName string, observe Observer, options ...nats.Option) (*Conn, error) {
	return connect(ctx, cfg, clientName, observe, &denials{waiting: map[*denialWait]struct{}{}}, options)
}

func connect(ctx context.Context, cfg config.Bus, clientName string, observe Observer, denied *denials, options []nats.Option) (*Conn, error) {
	if observe == nil {
		observe = func(State, error) {}
	}
	all, err := natsOptions(cfg, clientName, denied)
	if err != nil {
		return nil, err
	}
	all = append(all, options...)
	resolved := nats.GetDefaultOptions()
	for _, option := range all {
		if err := option(&resolved); err != nil {
			return nil, fmt.Errorf("NATS options: %w", err)
		}
	}
	if cfg.URL == "" && resolved.InProcessServer == nil && resolved.Url == "" && len(resolved.Servers) == 0 {
		return nil, errors.New("bus.url is empty: set it to the address of a NATS server, for example nats://127.0.0.1:4222 " +
			"(only `millrace run` embeds one)")
	}
	c := &Conn{
		cfg: cfg, observe: observe, clientName: clientName, options: append(options[:len(options):len(options)], nats.CustomInboxPrefix(resolved.InboxPrefix)),
		denials: denied, ensured: map[string]bool{}, drift: map[string]bool{}, buckets: map[string]jetstream.KeyValueConfig{},
	}
	c.nats, err = dial(ctx, cfg.URL, all, observe)
	if err != nil {
		return nil, err
	}
	if c.jetStream, err = jetstream.New(c.nats); err != nil {
		c.nats.Close()
		return nil, fmt.Errorf("JetStream: %w", err)
	}
	if c.publisher, err = newPublisher(c.nats, cfg); err != nil {
		c.nats.Close()
		return nil, err
	}
	watching, stop := context.WithCancel(context.Background())
	c.stop = stop
	observe(Connected, nil)
	c.watched.Go(func() { c.watch(watching) })
	return c, nil
}

// natsOptions are the options that cfg stands for.
func natsOptions(cfg config.Bus, clientName string, denied *denials) ([]nats.Option, error) {
	options := []nats.Option{
		nats.Name(clientName),
		nats.CustomInboxPrefix(InboxPrefix(clientName)),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.CustomReconnectDelay(retryDelay),
		// Without it the client closes the connection for good after two refusals, for example while credentials are
		// rotated.
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectBufSize(-1),
		// A stalled server is noticed in 20 s instead of 6 min.
		nats.PingInterval(10 * time.Second),
		nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(denied.handle), // The default handler writes to standard error.
	}
	if cfg.CredentialsFile != "" {
		if _, err := os.Stat(cfg.CredentialsFile); err != nil {
			return nil, fmt.Errorf("bus.credentials_file: %w", err)
		}
		options = append(options, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.TLS.CAFile != "" {
		options = append(options, nats.RootCAs(cfg.TLS.CAFile))
	}
	if cfg.TLS.CertFile != "" || cfg.TLS.KeyFile != "" {
		if cfg.TLS.CertFile == "" || cfg.TLS.KeyFile == "" {
			return nil, errors.New("bus.tls: cert_file and key_file go together")
		}
		options = append(options, nats.ClientCert(cfg.TLS.CertFile, cfg.TLS.KeyFile))
	}
	return options, nil
}

// InboxPrefix is where the answers to a client's requests come, unless an option sets another prefix: each service has
// a part of _INBOX to itself, so that permissions can keep the others from reading it.
func InboxPrefix(clientName string) string { return "_INBOX." + Token(clientName) }

func retryDelay(attempts int) time.Duration {
	return min(minRetry<<min(max(attempts-1, 0), 10), maxRetry)
}

// dial makes the first connection.
func dial(ctx context.Context, url string, options []nats.Option, observe Observer) (*nats.Conn, error) {
	for attempt := 1; ; attempt++ {
		nc, err := nats.Connect(url, options...)
		if err == nil {
			return nc, nil
		}
		final := permanent(err)
		var malformed *neturl.Error
		if errors.As(err, &malformed) {
			err = malformed.Err // The rest of it repeats the URL, with its password.
		}
		err = fmt.Errorf("connect to NATS at %s: %w", Redacted(url), err)
		if final {
			return nil, err
		}
		observe(Waiting, err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w (last attempt: %w)", context.Cause(ctx), err)
		case <-time.After(retryDelay(attempt)):
		}
	}
}

// permanent reports whether trying again cannot help.
func permanent(err error) bool {
	var path *os.PathError
	var malformed *neturl.Error
	return errors.As(err, &path) || errors.As(err, &malformed)
}

// Redacted gives a NATS URL (or several, separated by commas) without user names, passwords and tokens, for logs and
// errors.
func Redacted(url string) string {
	if url == "" {
		return "the embedded server"
	}
	parts := strings.Split(url, ",")
	for i, part := range parts {
		scheme, rest, found := strings.Cut(part, "://")
		if !found {
			scheme, rest = "", part
		}
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			rest = "***@" + rest[at+1:]
		}
		if found {
			rest = scheme + "://" + rest
		}
		parts[i] = strings.TrimSpace(rest)
	}
	return strings.Join(parts, ",")
}

// NATS is the underlying connection. Do not close it.
func (c *Conn) NATS() *nats.Conn { return c.nats }

// JetStream is for reading streams and for what this package does not cover. Publish through [Conn.Publish].
func (c *Conn) JetStream() jetstream.JetStream { return c.jetStream }

// Control is a second connection with the same settings, for small messages that must not wait behind what c carries:
// under load that is megabytes, both ways, in order. It is made at the first call, shared by all callers, and closed
// with c.
func (c *Conn) Control(ctx context.Context) (*Conn, error) {
	c.connecting.Lock()
	defer c.connecting.Unlock()
	if c.nats.IsClosed() {
		return nil, ErrClosed
	}
	if c.control == nil {
		control, err := connect(ctx, c.cfg, c.clientName+" control", nil, c.denials, c.options)
		if err != nil {
			return nil, err
		}
		c.control = control
	}
	return c.control, nil
}

// Apart makes another connection with the same settings, which is closed with c; it must not be called while c is being
// closed. What is published on it has a bound of its own (bus.max_pending) and waits for nothing that c carries: it is
// for a part of the process whose data must not be lost because other parts have much to say.
func (c *Conn) Apart(ctx context.Context, purpose string) (*Conn, error) {
	other, err := connect(ctx, c.cfg, c.clientName+" "+purpose, nil, c.denials, c.options)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.apart = append(c.apart, other)
	return other, nil
}

// Partitions of every stream.
func (c *Conn) Partitions() int { return c.cfg.Partitions }

// Config is what the connection was made with.
func (c *Conn) Config() config.Bus { return c.cfg }

// Publish sends data to the stream of subject, compressed as configured. id is the message's identity for the stream's
// duplicate window (see [EnsureStreams]); without one, a message whose acknowledgement was lost with a connection may
// be stored twice.
//
// Publish waits while as many bytes as bus.max_pending allows are on their way, and ctx bounds that wait; ctx has no
// meaning for the message after Publish has returned. Messages of one caller are stored in the order in which Publish
// was called, also across reconnects. data is the caller's again when Publish returns.
func (c *Conn) Publish(ctx context.Context, subject, id string, data []byte) (*Future, error) {
	return c.publisher.publish(ctx, subject, id, data)
}

// PublishEncoded is [Conn.Publish] for data that [Compress] has compressed; encoding is what it gave.
func (c *Conn) PublishEncoded(ctx context.Context, subject, id, encoding string, data []byte) (*Future, error) {
	m, err := c.publisher.encoded(subject, id, encoding, data)
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", subject, err)
	}
	return c.publisher.queue(ctx, m)
}

// PendingBytes is how many bytes are published and not acknowledged, as they are on the wire, also on connections
// apart.
func (c *Conn) PendingBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	sum := c.publisher.pendingBytes()
	for _, other := range c.apart {
		sum += other.PendingBytes()
	}
	return sum
}

// Flush waits until everything that was published before is acknowledged or given up.
func (c *Conn) Flush(ctx context.Context) error { return c.publisher.flush(ctx) }

// Close waits for outstanding acknowledgements for up to five seconds when a server is there, then ends the connection.
// What is still not acknowledged fails with [ErrClosed]. Further calls do nothing.
func (c *Conn) Close() {
	c.closeOnce.Do(func() {
		if c.nats.IsConnected() {
			ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
			_ = c.publisher.flush(ctx) // What is left fails below.
			cancel()
		}
		c.stop()
		c.watched.Wait()
		c.publisher.close()
		c.nats.Close()
		c.connecting.Lock()
		if c.control != nil {
			c.control.Close()
		}
		c.connecting.Unlock()
		c.mu.Lock()
		apart := c.apart
		c.mu.Unlock()
		for _, other := range apart {
			other.Close()
		}
		c.observe(Closed, nil)
	})
}
