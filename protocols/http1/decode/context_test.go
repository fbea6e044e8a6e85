package decode

import (
	"fmt"
	"strings"
	"testing"

	"millrace.dev/protocols/decode"
)

// traceparents are values of the header and what W3C Trace Context, section 3.2, makes of them: "" where it says that
// the header is to be ignored.
var traceparents = []struct{ name, value, want string }{
	{"of the standard", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	{"not sampled", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"},
	{"unknown flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff"},
	{"later version", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	{"later version with more", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	{"later version with an end", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	{"later version, no dash before more", "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what", ""},
	{"version 00 with more", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what", ""},
	{"version ff", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""},
	{"no version", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""},
	{"version of one digit", "0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011", ""},
	{"trace id all zero", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""},
	{"parent id all zero", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""},
	{"upper case version", "0A-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""},
	{"upper case trace id", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", ""},
	{"upper case parent id", "00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", ""},
	{"upper case flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0A", ""},
	{"not hexadecimal", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01", ""},
	{"trace id too short", "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01", ""},
	{"trace id too long", "00-4bf92f3577b34da6a3ce929d0e0e47361-00f067aa0ba902b7-01", ""},
	{"flags too short", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1", ""},
	{"no flags", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", ""},
	{"wrong separators", "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01", ""},
	{"two values in one", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01,00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01", ""},
	{"empty", "", ""},
}

func context(c *decode.Context) string {
	if !c.Valid {
		return ""
	}
	return fmt.Sprintf("%x-%016x-%02x", c.TraceID, c.SpanID, c.Flags)
}

func TestTraceparent(t *testing.T) {
	t.Parallel()
	for _, tt := range traceparents {
		for _, header := range []string{"traceparent: %s", "TraceParent:%s", "Traceparent: \t%s \t"} { // names in any case, section 3.2
			d := side{x: &decode.Exchange{}}
			d.header(fmt.Appendf(nil, header, tt.value), true, nil)
			if got := context(&d.x.Context); got != tt.want {
				t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
			}
		}
	}
}

func TestTraceHeaders(t *testing.T) {
	t.Parallel()
	const want = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	const good = "traceparent: 00-" + want
	member := strings.Repeat("k", 9) + "=" + strings.Repeat("v", 90)
	tests := []struct {
		name    string
		headers []string
		context string
		state   string
	}{
		{"none", nil, "", ""},
		{"state", []string{good, "tracestate: rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}, want, "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{"state first", []string{"TraceState: a=1", good}, want, "a=1"},
		{"several states are one list", []string{good, "tracestate: a=1", "tracestate: b=2, c=3", "tracestate:"}, want, "a=1,b=2, c=3"},
		{"an empty state says nothing", []string{good, "tracestate: ", "tracestate: a=1"}, want, "a=1"},
		{
			"a long state loses whole members",
			[]string{good, "tracestate: " + strings.Repeat(member+",", 6) + "z=1"},
			want,
			strings.Repeat(member+",", 4) + member,
		},
		{"two contexts are none", []string{good, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b8-01"}, "", ""},
		{"a bad one and a good one are none", []string{"traceparent: x", good}, "", ""},
		{"state without context", []string{"tracestate: a=1"}, "", ""},
	}
	for _, tt := range tests {
		d := side{x: &decode.Exchange{}}
		for _, h := range tt.headers {
			d.header([]byte(h), true, nil)
		}
		state := string(d.x.Context.State)
		if got := context(&d.x.Context); got != tt.context || got != "" && state != tt.state { // a state alone is not published
			t.Errorf("%s: %q with %q, want %q with %q", tt.name, got, state, tt.context, tt.state)
		}
	}
}
