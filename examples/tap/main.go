// Command tap reads what Millrace publishes on NATS as it goes by. docs/taps.md explains it.
//
//	tap spans                      every span, one a line
//	tap errors                     failed spans by service, every five seconds
//	tap follow shop/cart           spans of one service; the server sends nothing else
//	tap exchanges                  what decoders saw, with attributes
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func main() {
	url := flag.String("url", nats.DefaultURL, "the NATS server")
	credentials := flag.String("credentials", "", "file of `millrace nats credentials DIR observer`")
	every := flag.Duration("every", 5*time.Second, "how often errors are shown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *url, *credentials, *every, flag.Args(), os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tap:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, url, credentials string, every time.Duration, args []string, out io.Writer) error {
	options := []nats.Option{nats.Name("tap")}
	if credentials != "" {
		options = append(options, nats.UserCredentials(credentials))
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return fmt.Errorf("connect to %s: %w", url, err)
	}
	defer nc.Close()
	switch {
	case len(args) == 1 && args[0] == "spans":
		return printSpans(ctx, nc, "millrace.span.>", out)
	case len(args) == 2 && args[0] == "follow":
		namespace, service, found := strings.Cut(args[1], "/")
		if !found {
			namespace, service = "", args[1]
		}
		// The subject is millrace.span.PARTITION.NAMESPACE.SERVICE.
		return printSpans(ctx, nc, "millrace.span.*."+token(namespace)+"."+token(service), out)
	case len(args) == 1 && args[0] == "errors":
		return countErrors(ctx, nc, every, out)
	case len(args) == 1 && args[0] == "exchanges":
		return printExchanges(ctx, nc, out)
	}
	return fmt.Errorf("use: tap spans | errors | follow NAMESPACE/SERVICE | exchanges")
}

func printSpans(ctx context.Context, nc *nats.Conn, subject string, out io.Writer) error {
	return subscribe(ctx, nc, subject, func(b *millracev1.SpanBatch) {
		service := attribute(b.GetResource().GetAttributes(), "service.name")
		for _, s := range b.GetSpans() {
			fmt.Fprintf(out, "%x %s %s %q %s", s.GetTraceId(), kind(s.GetKind()), service, s.GetName(), duration(s))
			if s.GetStatus() == millracev1.StatusCode_STATUS_CODE_ERROR {
				fmt.Fprintf(out, " error=%s", attribute(s.GetAttributes(), "error.type"))
			}
			for _, name := range []string{"db.query.text", "url.path", "rpc.method", "messaging.destination.name"} {
				if v := attribute(s.GetAttributes(), name); v != "" {
					fmt.Fprintf(out, " %s=%q", name, v)
				}
			}
			fmt.Fprintln(out)
		}
	})
}

func countErrors(ctx context.Context, nc *nats.Conn, every time.Duration, out io.Writer) error {
	type count struct{ spans, failed int }
	counts := map[string]*count{}
	show := time.Now().Add(every)
	return subscribe(ctx, nc, "millrace.span.>", func(b *millracev1.SpanBatch) {
		service := attribute(b.GetResource().GetAttributes(), "service.name")
		c := counts[service]
		if c == nil {
			c = &count{}
			counts[service] = c
		}
		for _, s := range b.GetSpans() {
			c.spans++
			if s.GetStatus() == millracev1.StatusCode_STATUS_CODE_ERROR {
				c.failed++
			}
		}
		if time.Now().Before(show) {
			return
		}
		show = time.Now().Add(every)
		services := make([]string, 0, len(counts))
		for name := range counts {
			services = append(services, name)
		}
		slices.Sort(services)
		for _, name := range services {
			fmt.Fprintf(out, "%s: %d of %d failed\n", name, counts[name].failed, counts[name].spans)
		}
	})
}

// printExchanges shows one side of each request. Attributes refer to names by their place in the batch.
func printExchanges(ctx context.Context, nc *nats.Conn, out io.Writer) error {
	return subscribe(ctx, nc, "millrace.exchange.>", func(b *millracev1.ExchangeBatch) {
		for _, x := range b.GetExchanges() {
			fmt.Fprintf(out, "%s %s %s", x.GetSide(), x.GetProtocol(), x.GetOperation())
			if x.GetErrorType() != "" {
				fmt.Fprintf(out, " error=%s", x.GetErrorType())
			}
			for _, a := range x.GetAttributes() {
				if int(a.GetName()) < len(b.GetNames()) {
					fmt.Fprintf(out, " %s=%s", b.GetNames()[a.GetName()], value(a))
				}
			}
			fmt.Fprintln(out)
		}
	})
}

func value(a *millracev1.Attribute) string {
	switch v := a.GetValue().(type) {
	case *millracev1.Attribute_Text:
		return fmt.Sprintf("%q", v.Text)
	case *millracev1.Attribute_Number:
		return fmt.Sprint(v.Number)
	case *millracev1.Attribute_Real:
		return fmt.Sprint(v.Real)
	case *millracev1.Attribute_Yes:
		return fmt.Sprint(v.Yes)
	case *millracev1.Attribute_Texts:
		return fmt.Sprintf("%q", v.Texts.GetTexts())
	}
	return "?" // of a later release
}

// attribute gives the text of an attribute of a span or a resource, empty if it is not there or no text.
func attribute(list []*millracev1.KeyValue, key string) string {
	for _, kv := range list {
		if kv.GetKey() == key {
			return kv.GetStringValue()
		}
	}
	return ""
}

func kind(k millracev1.SpanKind) string {
	return strings.ToLower(strings.TrimPrefix(k.String(), "SPAN_KIND_"))
}

func duration(s *millracev1.Span) time.Duration {
	return time.Duration(s.GetEndUnixNs() - s.GetStartUnixNs())
}
