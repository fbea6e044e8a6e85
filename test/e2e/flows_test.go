package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/e2e/internal/netns"
	"millrace.dev/test/internal/product"
)

// talker sends and receives so many bytes and prints what the kernel says of its end when all is over: bytes sent,
// segments sent, and bytes of payload that the other end has.
const talker = `
import socket, struct, sys, time
role, host, port, send, receive = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
if role == "server":
    l = socket.create_server((host, port))
    print("ready", flush=True)
    s, _ = l.accept()
else:
    s = socket.create_connection((host, port))
def take(n):
    while n:
        got = s.recv(min(n, 65536))
        assert got
        n -= len(got)
if role == "client":
    s.sendall(b"x" * send); take(receive)
    time.sleep(3)
    s.shutdown(socket.SHUT_WR)
    assert s.recv(1) == b""
else:
    take(receive); s.sendall(b"y" * send)
    assert s.recv(1) == b""
    s.shutdown(socket.SHUT_WR)
for _ in range(1000):
    info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    if info[0] == 7:
        break
    time.sleep(0.01)
else:
    sys.exit("the connection does not end")
print(struct.unpack_from("Q", info, 200)[0], struct.unpack_from("I", info, 136)[0], flush=True)
`

// end is what a talker printed.
type end struct{ bytes, segments float64 }

// talk runs a talker in a namespace; the channel gives what it prints at its end.
func talk(t *testing.T, through []string, name string, arguments ...string) (ready *bufio.Reader, done func() end) {
	t.Helper()
	line := append(append(append([]string{}, through...), "python3", "-c", talker), arguments...)
	command := exec.Command(line[0], line[1:]...)
	command.Env = append(os.Environ(), "OTEL_SERVICE_NAME="+name)
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	lines := bufio.NewReader(out)
	return lines, func() (e end) {
		text, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := fmt.Sscan(text, &e.bytes, &e.segments); err != nil {
			t.Fatalf("%s: %q: %v", name, text, err)
		}
		_ = command.Wait() // It printed all.
		return e
	}
}

// scraped gives the samples of the page whose name and labels have all of the texts, added up.
func scraped(t *testing.T, address string, texts ...string) (sum float64, found int) {
	t.Helper()
	answer, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	page, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
next:
	for line := range strings.SplitSeq(string(page), "\n") {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue next
			}
		}
		value, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil || strings.HasPrefix(line, "#") {
			continue
		}
		sum, found = sum+value, found+1
	}
	return sum, found
}

// Two programs on a wire talk: what is counted of them is what the kernel says at each end, to the byte, and once
// although both ends are watched.
func TestFlows(t *testing.T) {
	t.Parallel()
	needRoot(t)
	wire, err := netns.New(fmt.Sprintf("mrf%d", os.Getpid()), 0)
	if errors.Is(err, netns.ErrNotSupported) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(wire.Close)
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	page := fmt.Sprintf("127.0.0.1:%d", port)
	directory := t.TempDir()
	ownWith(t, product.Options{Name: "run", Directory: directory, NoFile: true, Config: fmt.Sprintf(`
metrics: {features: [network_flow_packets, stats], interval: 1s}
network: {enable: true, cache_active_timeout: 1s}
exporters: {prometheus: {endpoint: "%s"}, file: {path: "%s/run.jsonl"}}
`, page, directory)})
	const up, down = 3_000_000, 200_000
	ready, server := talk(t, wire.Command(1), "flow-server", "server", wire.Addresses[1], "7000", fmt.Sprint(down), fmt.Sprint(up))
	if line, err := ready.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, client := talk(t, wire.Command(0), "flow-client", "client", wire.Addresses[1], "7000", fmt.Sprint(up), fmt.Sprint(down))
	// The connection lasts three seconds longer: its bytes are there before it ends.
	during := time.Now().Add(30 * time.Second)
	for {
		if sum, _ := scraped(t, page, "obi_network_flow_bytes_total", `src_name="flow-client"`); sum > up {
			break
		}
		if time.Now().After(during) {
			t.Fatal("nothing is counted")
		}
		time.Sleep(50 * time.Millisecond)
	}
	a, b := client(), server()
	const header = 20 + 32 // of IPv4, of TCP with time stamps
	for _, want := range []struct {
		texts []string
		value float64
	}{
		{[]string{"obi_network_flow_bytes_total{", `direction="request"`, `src_name="flow-client"`, `dst_name="flow-server"`}, a.bytes + header*a.segments},
		{[]string{"obi_network_flow_bytes_total{", `direction="response"`, `src_name="flow-server"`, `dst_name="flow-client"`}, b.bytes + header*b.segments},
		{[]string{"obi_network_flow_packets_total{", `src_name="flow-client"`}, a.segments},
		{[]string{"obi_network_flow_packets_total{", `src_name="flow-server"`}, b.segments},
		{[]string{"obi_stat_tcp_io_bytes_total{", "transmit", `src_name="flow-client"`}, up},
		{[]string{"obi_stat_tcp_io_bytes_total{", "receive", `src_name="flow-client"`}, down},
		{[]string{"obi_stat_tcp_io_bytes_total{", "transmit", `src_name="flow-server"`}, down},
		{[]string{"obi_stat_tcp_io_bytes_total{", "receive", `src_name="flow-server"`}, up},
		{[]string{"obi_stat_tcp_successful_connections_total{", `network_tcp_handshake_role="client"`, `src_name="flow-client"`}, 1},
		{[]string{"obi_stat_tcp_successful_connections_total{", `network_tcp_handshake_role="server"`, `src_name="flow-server"`}, 1},
		{[]string{"millrace_tcp_connection_duration_seconds_count{", `src_name="flow-client"`}, 1},
	} {
		eventually(t, page, want.value, want.texts)
	}
	time.Sleep(3 * time.Second) // longer than the windows: what was going to be counted twice has been
	if sum, _ := scraped(t, page, "obi_network_flow_bytes_total{", `name="flow-`); sum != a.bytes+b.bytes+header*(a.segments+b.segments) {
		t.Errorf("%g bytes in the end", sum)
	}
	if sum, found := scraped(t, page, "millrace_tcp_resets_total{", `name="flow-`); found != 0 {
		t.Errorf("%g resets", sum)
	}
}

// eventually waits until samples add up to a value.
func eventually(t *testing.T, page string, want float64, texts []string) {
	t.Helper()
	var got float64
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if got, _ = scraped(t, page, texts...); got >= want {
			break
		}
	}
	if got != want {
		t.Errorf("%s is %g, want %g", texts, got, want)
	}
}
