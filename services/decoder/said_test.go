package decoder_test

import (
	"context"
	"slices"
	"testing"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// batches keeps the batches of exchanges.
type batches struct{ all []*millracev1.ExchangeBatch }

func (k *batches) Publish(_, _ string, data []byte) {
	b := &millracev1.ExchangeBatch{}
	if err := b.UnmarshalVT(data); err == nil && len(b.Exchanges) > 0 && b.Exchanges[0].Protocol != 0 {
		k.all = append(k.all, b)
	}
}

// The same traffic is described by attributes, or, for enrichers of old versions, by details.
func TestExchangeDetails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		all   bool
		names []string
	}{
		{"details", false, nil},
		{"attributes", true, []string{"url.full", "url.path", "http.response.status_code", "db.query.text"}},
	} {
		traffic := decodertest.New()
		c, s := traffic.Dial()
		decodertest.Pass(c, s, "GET /a?b=1 HTTP/1.1\r\nHost: shop:80\r\n\r\n")
		decodertest.Pass(s, c, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		c, s = traffic.Dial()
		decodertest.Pass(c, s, resp("GET", "a"))
		decodertest.Pass(s, c, "-WRONGTYPE no\r\n")
		out := &batches{}
		record := stage.Record{Data: traffic.Batch(1, traffic.Events)}
		if err := decoder.New(decoder.Options{Partitions: 1, Config: config.Decoder{ExchangeDetails: !test.all}}).Process(context.Background(), []stage.Record{record}, out); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, b := range out.all {
			for _, want := range test.names {
				if !slices.Contains(b.Names, want) {
					t.Errorf("%s: %s is not among %q", test.name, want, b.Names)
				}
			}
			if !test.all && len(b.Names) > 0 {
				t.Errorf("%s: names %q", test.name, b.Names)
			}
			for _, x := range b.Exchanges {
				n++
				if (x.Detail == nil) != test.all || (x.Family != 0) != test.all || (len(x.Attributes) > 3) != test.all {
					t.Errorf("%s: %v", test.name, x)
				}
				want := map[millracev1.Protocol]string{
					millracev1.Protocol_PROTOCOL_HTTP1: "404", millracev1.Protocol_PROTOCOL_REDIS: "WRONGTYPE",
				}[x.Protocol]
				if x.Protocol == millracev1.Protocol_PROTOCOL_HTTP1 && x.Side == millracev1.Side_SIDE_SERVER {
					want = ""
				}
				if test.all && x.ErrorType != want {
					t.Errorf("%v: error %q, want %q", x.Protocol, x.ErrorType, want)
				}
			}
		}
		if n != 4 {
			t.Errorf("%s: %d exchanges", test.name, n)
		}
	}
}
