package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	millracev1 "millrace.dev/proto/millrace/v1"

	"millrace.dev/cmd/millrace/internal/spanfeed"
	"millrace.dev/cmd/millrace/internal/spanview"
)

// filter is what `observe` shows. A zero field selects everything.
type filter struct {
	service, protocol, status, kind string
	slower                          time.Duration
	failed                          bool
}

func (f *filter) match(s *spanview.Span) bool {
	return (f.service == "" || s.Service == f.service) &&
		(f.protocol == "" || s.Protocol == f.protocol) &&
		(f.kind == "" || spanview.KindWord(s.Kind) == f.kind) &&
		(f.status == "" || matchStatus(f.status, s.Status)) &&
		s.Duration >= f.slower &&
		(!f.failed || s.Failed)
}

// matchStatus compares a status with a pattern: "404", "4xx", or the word a protocol uses.
func matchStatus(pattern, status string) bool {
	if class, found := strings.CutSuffix(pattern, "xx"); found && len(class) == 1 {
		return len(status) == 3 && strings.HasPrefix(status, class)
	}
	return strings.EqualFold(pattern, status)
}

// connector connects a command-line tool to the bus, in the role observer.
type connector func(ctx context.Context) (*bus.Conn, error)

// configured connects to the bus that the configuration names.
func configured(ctx context.Context) (*bus.Conn, error) {
	cfg, err := config.Load(configPath, os.Environ())
	if err != nil {
		return nil, err
	}
	return connectTool(ctx, cfg, access.Observer)
}

// observeCommand follows spans of the bus that connect gives. countFlag is the one-letter form of --count, or empty.
func observeCommand(connect connector, countFlag string) *cobra.Command {
	var f filter
	var asJSON bool
	var count int
	var wait time.Duration
	c := &cobra.Command{
		Use:   "observe",
		Short: "Follow live spans from the bus",
		Long:  "Follow live spans from the bus, a line each.",
		Example: `  millrace observe --service shop --status 5xx
  millrace observe --protocol redis --slower 10ms --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if wait > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, wait)
				defer cancel()
			}
			conn, err := connect(ctx)
			if err != nil {
				return err
			}
			defer conn.Close()
			return observe(ctx, conn, &f, asJSON, count, cmd.OutOrStdout())
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.service, "service", "", "only spans of this service.name")
	flags.StringVar(&f.protocol, "protocol", "", "only this protocol, as it is shown: http, redis, postgresql, ...")
	flags.StringVar(&f.status, "status", "", "only this status: 404, 5xx, ERR")
	flags.StringVar(&f.kind, "kind", "", "only client or server spans")
	flags.DurationVar(&f.slower, "slower", 0, "only spans that took at least this long")
	flags.BoolVar(&f.failed, "errors", false, "only failed spans")
	flags.BoolVar(&asJSON, "json", false, "one JSON object a line")
	flags.IntVarP(&count, "count", countFlag, 0, "end after this many spans")
	flags.DurationVar(&wait, "for", 0, "end after this time")
	return c
}

// connectTool connects a command-line tool, in a role of package access, to the bus that the configuration names: an
// all-in-one's own, if it listens.
func connectTool(ctx context.Context, cfg *config.Config, role string) (*bus.Conn, error) {
	b := cfg.Bus
	var options []nats.Option
	if b.URL == "" && b.Embedded.Listen != "" {
		b.URL = "nats://" + reachable(b.Embedded.Listen)
		if path := b.Embedded.UsersFile; path != "" {
			password, err := embedded.Password(path, role)
			if err != nil {
				return nil, err
			}
			options = append(options, nats.UserInfo(role, password))
		}
	}
	if b.URL == "" {
		b.URL = nats.DefaultURL
	}
	connect, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := bus.ConnectObserved(connect, b, "millrace-"+role, sayDenied(role), options...)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s (set bus.url, or bus.embedded.listen on an all-in-one): %w", b.URL, err)
	}
	return conn, nil
}

// sayDenied says on standard error what a connection is not allowed.
func sayDenied(role string) bus.Observer {
	return func(_ bus.State, err error) {
		if errors.Is(err, bus.ErrDenied) {
			fmt.Fprintf(os.Stderr, "millrace: %v: this needs credentials of the role %s\n", err, role)
		}
	}
}

// reachable is where a server that listens on an address is reached on its own machine.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err != nil || host != "" && (ip == nil || !ip.IsUnspecified()) {
		return listen
	}
	return net.JoinHostPort("127.0.0.1", port)
}

func observe(ctx context.Context, conn *bus.Conn, f *filter, asJSON bool, count int, out io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	shown := 0
	feed, err := spanfeed.Subscribe(conn, func(batch *millracev1.SpanBatch) {
		spans := spanview.FromBatch(batch)
		for i := range spans {
			if ctx.Err() != nil || !f.match(&spans[i]) {
				continue
			}
			if err := printSpan(out, &spans[i], asJSON); err != nil {
				cancel(err)
				return
			}
			if shown++; count > 0 && shown >= count {
				cancel(nil)
				return
			}
		}
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	feed.Close()
	if malformed, dropped := feed.Lost(); malformed+dropped > 0 {
		fmt.Fprintf(os.Stderr, "millrace: not shown: %d batches that could not be read, %d that came too fast\n", malformed, dropped)
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

func printSpan(out io.Writer, s *spanview.Span, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprintln(out, spanview.Line(s))
		return err
	}
	return json.NewEncoder(out).Encode(map[string]any{
		"trace_id":    fmt.Sprintf("%x", s.TraceID),
		"span_id":     fmt.Sprintf("%016x", s.SpanID),
		"parent_id":   parentText(s.ParentID),
		"kind":        spanview.KindWord(s.Kind),
		"service":     s.Service,
		"protocol":    s.Protocol,
		"name":        s.Name,
		"summary":     s.Summary,
		"status":      s.Status,
		"failed":      s.Failed,
		"start":       s.Start.UTC().Format(time.RFC3339Nano),
		"duration_ms": json.Number(strconv.FormatFloat(float64(s.Duration)/1e6, 'f', 6, 64)),
	})
}

func parentText(id uint64) string {
	if id == 0 {
		return ""
	}
	return fmt.Sprintf("%016x", id)
}
