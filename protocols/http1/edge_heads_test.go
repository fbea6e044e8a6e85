package http1

import (
	"strings"
	"testing"

	"millrace.dev/protocols/edge"
)

func TestHeads(t *testing.T) {
	t.Parallel()
	h, err := NewHeads(&edge.Rules{Enable: true})
	if err != nil {
		t.Fatal(err)
	}
	target := func(b []byte) { h.Target(b, false) }
	value := func(use edge.HeaderUse) func(b []byte) { return func(b []byte) { h.Value(use, b) } }
	for _, tt := range []struct {
		apply      func(b []byte)
		text, want string
	}{
		{target, "/helloworld.Greeter/SayHello", "/helloworld.Greeter/SayHello"},
		{target, "/users/42?token=abcdef&page=2", "/users/42?token=******&page=2"},
		{target, "/reset/Zm9vYmFyYmF6cXV4", "/reset/****************"},
		{target, "/a b", "****"},
		{target, "*", "*"},
		{func(b []byte) { h.Target(b, true) }, "user:pass@example.org:443", "*********@example.org:443"},
		{value(edge.HeaderHost), "user:pass@example.org", "*********@example.org"},
		{value(edge.HeaderType), "application/grpc", "application/grpc"},
		{value(edge.HeaderUnknown), "anything", "********"},
		{value(edge.HeaderAgent), "grpc-go/1.83.2", "grpc-go/1.83.2"},
		{value(edge.HeaderAgent), "curl/8\r\nx", strings.Repeat("*", 9)},
	} {
		b := []byte(tt.text)
		if tt.apply(b); string(b) != tt.want {
			t.Errorf("%q became %q, want %q", tt.text, b, tt.want)
		}
	}
	for path, want := range map[string]bool{"/helloworld.Gre": true, "/reset/a": false, "/users/4": true, "/x/AKIAIOSFODNN7EXAMPLE": false} {
		if got := h.Path([]byte(path), []byte(path[strings.LastIndexByte(path, '/')+1:])); got != want {
			t.Errorf("%s: %t", path, got)
		}
	}
	if h.Header([]byte("Content-Type")) != edge.HeaderType || h.Header([]byte("x-nobody-knows")) != edge.HeaderUnknown || !h.Begins([]byte("content-")) {
		t.Error("headers are not known by their names")
	}
}
