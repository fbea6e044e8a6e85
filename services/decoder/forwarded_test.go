package decoder_test

import (
	"fmt"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// A proxy passes the Host on that it was asked for: then anybody chooses it. One that a program chooses by itself is
// its own, and so is one that the process was asked for long ago.
func TestForwardedHost(t *testing.T) {
	t.Parallel()
	traffic := decodertest.New()
	_, in := traffic.Dial()
	out, _ := traffic.Dial()
	in.Facts().Process, out.Facts().Process = 33, 33
	want := map[string]bool{}
	call := func(path, host string, forwarded bool) {
		out.Send(fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host))
		out.Receive(reply)
		want[path] = forwarded
	}
	call("/before", "scan0.example", false)
	for i := range 200 {
		host := fmt.Sprintf("scan%d.example", i)
		in.Receive("GET /in HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		call(fmt.Sprint("/passed/", i), host, true)
		in.Send(reply)
	}
	call("/own", "stock:8080", false)
	call("/lately", "scan199.example", true)
	call("/long-ago", "scan1.example", false)
	out.Send("GET /none HTTP/1.0\r\n\r\n")
	out.Receive(reply)
	want["/none"] = false

	got := decodertest.Run(t, decoder.New(decoder.Options{Partitions: 4}), traffic, 1)
	n := 0
	for _, x := range got.Exchanges {
		if x.Side != millracev1.Side_SIDE_CLIENT {
			if x.HostForwarded {
				t.Errorf("a server's %s", x.GetHttp().Target)
			}
			continue
		}
		n++
		if x.HostForwarded != want[x.GetHttp().Target] {
			t.Errorf("%s to %s: forwarded %v", x.GetHttp().Target, x.GetHttp().Host, x.HostForwarded)
		}
	}
	if n < len(want) {
		t.Errorf("%d calls of %d", n, len(want))
	}
}
