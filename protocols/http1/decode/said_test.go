package decode

import (
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/decode"
	"millrace.dev/protocols/decode/decodetest"
)

func TestSaid(t *testing.T) {
	t.Parallel()
	decodetest.Said(t, &Protocol, "testdata/said.json")
}

func BenchmarkSay(b *testing.B) {
	detail, err := (&millracev1.HttpExchange{
		Method: "GET", Target: "/api/items/42?x=1", Host: "service.local:8080", Status: 200, Version: "1.1", UserAgent: "Go-http-client/1.1",
		ResponseContentType: "application/json",
	}).MarshalVT()
	if err != nil {
		b.Fatal(err)
	}
	x := &decode.Exchange{Detail: detail}
	var s, none decode.Said
	b.ReportAllocs()
	for b.Loop() {
		s.Set(&none)
		say(&s, x, decode.Place{})
	}
}
