package e2e

import (
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"millrace.dev/test/internal/spans"
)

// handshakes counts the spans of connections that are encrypted, of a process and kind, as the clients account for
// them.
func handshakes(list []*spans.Span, pid, kind int) map[string]int {
	out := map[string]int{}
	for _, sp := range list {
		if sp.PID() != pid || sp.Kind != kind {
			continue
		}
		offered, _ := sp.Attributes["millrace.tls.offered_protocols"].([]any)
		line := fmt.Sprintf("%s %v ", sp.Text("tls.client.server_name"), offered)
		switch version := sp.Text("tls.protocol.version"); version {
		case "1.3":
			line += fmt.Sprintf("1.3 retried=%v", sp.Attributes["millrace.tls.retried"] == true)
		case "1.2":
			line += "1.2 " + sp.Text("tls.next_protocol")
		default:
			line += "alert " + sp.Text("millrace.tls.alert")
		}
		if sp.Name != "TLS handshake" {
			line += " named " + sp.Name
		}
		out[line]++
	}
	return out
}

// TestTLS: connections of Go's TLS, of both versions, with hellos that are asked for again, refused, and sent byte by
// byte. The truth is what the client's library says of each.
func TestTLS(t *testing.T) {
	t.Parallel()
	o := observing(t)
	lost := 0.0
	if !truthOnly {
		lost = o.ringFull(t)
	}
	server := multiplexer(t, "tls-server")
	client := multiplexer(t, "tls-client", "127.0.0.1:"+server.line(), 20)
	want, total := client.lines()
	if truthOnly {
		return
	}
	list := o.await(2*total, client.pid(), server.pid())
	for what, got := range map[string]map[string]int{
		"client": handshakes(list, client.pid(), spans.Client), "server": handshakes(list, server.pid(), spans.Server),
	} {
		want := want
		if o.ringFull(t) > lost {
			want = bytewise(t, what, got, want)
		}
		same(t, what, got, want)
	}
	eachHasParent(t, list, server.pid())
	o.settled(t.Name(), len(list), client.pid(), server.pid())
}

// ringFull is how many events the kernel side counted as lost because user space did not keep up.
func (o *observed) ringFull(t *testing.T) float64 {
	t.Helper()
	m, err := o.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	return m[`millrace_capture_lost_total{cause="ring_full"}`]
}

// bytewise gives the truth of an end where events were counted as lost meanwhile, as other tests' floods of events may
// bring about: a hello that is sent byte by byte has 600, so it is the first to lack one. What is there must be right.
func bytewise(t *testing.T, what string, got, want map[string]int) map[string]int {
	t.Helper()
	allowed := maps.Clone(want)
	for line, n := range want {
		if !strings.HasPrefix(line, "bytes.example ") || got[line] >= n {
			continue
		}
		t.Logf("%s: %d of %q, the truth is %d, and events were counted as lost", what, got[line], line, n)
		if got[line] < n*3/4 {
			t.Errorf("%s: %d of %q are too few", what, got[line], line)
		}
		allowed[line] = got[line]
	}
	return allowed
}

// TestTLSPrograms: OpenSSL's client, which reads records in two parts, and curl. The truth is what they print.
func TestTLSPrograms(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := multiplexer(t, "tls-server")
	port := server.line()
	want := map[string]int{}
	run := func(name string, arguments ...string) (int, string) {
		path, err := resolve(name)
		if err != nil {
			lacking(t, "%s", name)
		}
		command := exec.Command(path, arguments...)
		command.Stdin = strings.NewReader("")
		out, _ := command.CombinedOutput() // curl gives up: the server speaks no HTTP
		return command.Process.Pid, string(out)
	}
	find := func(text, pattern string) string {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(text); m != nil {
			return m[1]
		}
		t.Errorf("%s is not in %s", pattern, text)
		return ""
	}
	var pids []int
	for _, option := range []string{"-tls1_2", "-tls1_3"} {
		pid, out := run("openssl", "s_client", "-connect", "127.0.0.1:"+port, "-servername", "s.example", "-alpn", "h2", option)
		pids = append(pids, pid)
		version := find(out, `Protocol *: TLSv(1\.\d)|New, TLSv1.3`)
		if option == "-tls1_3" {
			want["s.example [h2] 1.3 retried=false"]++
			continue
		}
		want[fmt.Sprintf("s.example [h2] %s %s", version, find(out, `ALPN protocol: (\S+)`))]++
	}
	pid, out := run("curl", "-vksm", "5", "--tls-max", "1.2", "--http1.1", "--resolve", "c.example:"+port+":127.0.0.1", "https://c.example:"+port+"/")
	pids = append(pids, pid)
	want[fmt.Sprintf("c.example [http/1.1] %s %s", find(out, `SSL connection using TLSv(1\.2)`), find(out, `server accepted (?:to use )?(\S+)`))]++
	if truthOnly {
		return
	}
	list := o.await(2*len(pids), append(pids, server.pid())...)
	got := map[string]int{}
	for _, pid := range pids {
		for line, n := range handshakes(list, pid, spans.Client) {
			got[line] += n
		}
	}
	same(t, "clients", got, want)
	same(t, "server", handshakes(list, server.pid(), spans.Server), want)
}
