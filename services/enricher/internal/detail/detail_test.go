package detail

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"

	"millrace.dev/services/enricher/internal/attribute"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// A layer says what the exchange is, and the head of HTTP what else there is to know.
func TestLayer(t *testing.T) {
	t.Parallel()
	x := &millracev1.Exchange{
		Side: millracev1.Side_SIDE_CLIENT, Protocol: millracev1.Protocol_PROTOCOL_ELASTICSEARCH, Family: millracev1.Family_FAMILY_DATABASE,
		Operation: "search orders",
		Detail: &millracev1.Exchange_Http{Http: &millracev1.HttpExchange{
			Method: "POST", Target: "/orders/_search", Host: "search:9200", Status: 404, Version: "1.1",
		}},
	}
	said := []attribute.Attribute{
		{Name: attribute.Named("db.system.name"), Kind: attribute.Text, Bytes: []byte("elasticsearch")},
		{Name: attribute.Named("url.full"), Kind: attribute.Text, Bytes: []byte("http://search:9200/{index}/_search")},
	}
	var got []string
	for _, a := range (&Converter{}).Append(said, x) {
		got = append(got, fmt.Sprintf("%s=%s%d", a.Name.Text, a.Bytes, a.Bits))
	}
	want := []string{
		"db.system.name=elasticsearch0", "url.full=http://search:9200/{index}/_search0", "http.request.method=POST0",
		"network.protocol.name=http0", "network.protocol.version=1.10", "http.response.status_code=404",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if x.Family != millracev1.Family_FAMILY_DATABASE || x.Operation != "search orders" || x.Path != "" || x.ErrorType != "404" ||
		x.ServerName != "search" || x.ServerPort != 9200 {
		t.Errorf("%v", x)
	}
}

func TestSplitHost(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		host string
		port uint32
	}{
		"": {}, "a": {"a", 0}, "a:80": {"a", 80}, "[::1]:8080": {"::1", 8080}, "[::1]": {"::1", 0}, "::1": {"::1", 0}, "a:": {"a:", 0},
		"a:99999": {"a:99999", 0},
	} {
		if host, port := splitHost(in); host != want.host || port != want.port {
			t.Errorf("%q: %q %d", in, host, port)
		}
	}
}

// The adapter says of details what the rooms of their protocols will say themselves: both are tested with the same
// cases.
func TestAsTheRoomsSay(t *testing.T) {
	t.Parallel()
	for _, room := range []string{"http1", "redis"} {
		data, err := os.ReadFile("../../../../protocols/" + room + "/decode/testdata/said.json")
		if err != nil {
			t.Fatal(err)
		}
		var cases []struct {
			Exchange json.RawMessage
			Said     []string
		}
		if err := json.Unmarshal(data, &cases); err != nil || len(cases) < 3 {
			t.Fatalf("%d cases: %v", len(cases), err)
		}
		for _, c := range cases {
			x := &millracev1.Exchange{}
			if err := protojson.Unmarshal(c.Exchange, x); err != nil {
				t.Fatal(err)
			}
			list := (&Converter{}).Append(nil, x)
			got := []string{
				fmt.Sprintf("family %d, operation %q, path %q", x.Family, x.Operation, x.Path),
				fmt.Sprintf("error %q %q, server %q %d", x.ErrorType, x.ErrorMessage, x.ServerName, x.ServerPort),
			}
			for _, a := range list {
				if a.Kind == attribute.Number {
					got = append(got, fmt.Sprintf("%s = %d", a.Name.Text, int64(a.Bits)))
				} else {
					got = append(got, fmt.Sprintf("%s = %q", a.Name.Text, a.Bytes))
				}
			}
			slices.Sort(got[2:])
			if !slices.Equal(got, c.Said) {
				t.Errorf("%s: got\n%s\nwant\n%s", c.Exchange, strings.Join(got, "\n"), strings.Join(c.Said, "\n"))
			}
		}
	}
}
