package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// curled asks for paths, with a curl for each, and gives their account, as requests does. The curl of Debian 12 cannot
// ask twice on one connection with prior knowledge.
func curled(t *testing.T, option string, port int, paths ...string) (pids []int, account map[string]int) {
	t.Helper()
	const format = `%{method} %{http_code} %{size_upload} %{size_download}\n`
	account = map[string]int{}
	for _, path := range paths {
		p := launchProgram(t, "curl", "-s", option, "-w", format, "-A", "test", "-H", "Authorization: Bearer plantedplantedplanted",
			"-o", "/dev/null", fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
		method, rest, _ := strings.Cut(p.line(), " ")
		account[method+" "+path+" "+rest]++
		p.wait()
		pids = append(pids, p.pid())
	}
	return pids, account
}

// counted is requests for several processes.
func counted(list []*spans.Span, kind int, pids ...int) map[string]int {
	out := map[string]int{}
	for _, pid := range pids {
		for line, n := range requests(list, pid, kind) {
			out[line] += n
		}
	}
	return out
}

// TestHTTP2Curl: curl with prior knowledge, and by an upgrade from HTTP/1.1, whose first response comes over HTTP/2.
func TestHTTP2Curl(t *testing.T) {
	t.Parallel()
	o := observing(t)
	paths := []string{"/size/10", "/status/404", "/size/20000", "/size/0", "/status/500", "/size/77"}
	for _, option := range []string{"--http2-prior-knowledge", "--http2"} {
		server := multiplexer(t, "http-server")
		port, err := strconv.Atoi(server.line())
		if err != nil {
			t.Fatal(err)
		}
		client, want := curled(t, option, port, paths...)
		if truthOnly {
			continue
		}
		if option == "--http2" { // a request that asks for an upgrade is one of HTTP/1.1
			upgraded := map[string]int{}
			for line, n := range want {
				upgraded[line+" of version 1.1"] = n
			}
			want = upgraded
		}
		list := o.await(2*len(paths), append(client, server.pid())...)
		same(t, option+", client", counted(list, spans.Client, client...), want)
		same(t, option+", server", requests(list, server.pid(), spans.Server), want)
		eachHasParent(t, list, server.pid())
		o.settled(t.Name()+" "+option, len(list), append(client, server.pid())...)
	}
}

// nginxHTTP2 starts nginx with one worker that serves HTTP/2 and passes /proxy/ on to a server of HTTP/1.1, and calls
// to one of gRPC. It gives the worker.
func nginxHTTP2(t *testing.T, upstream, calls string) (worker, port int) {
	t.Helper()
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	config := fmt.Sprintf(`
daemon off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log; user root;
events { worker_connections 256; }
http {
  access_log off; keepalive_requests 10000;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  upstream app { server 127.0.0.1:%[3]s; keepalive 8; }
  upstream calls { server 127.0.0.1:%[4]s; keepalive 8; }
  server {
    listen 127.0.0.1:%[2]d http2;
    http2_max_concurrent_streams 512;
    location /proxy/ { proxy_pass http://app/; proxy_http_version 1.1; proxy_set_header Connection ""; }
    location / { grpc_pass grpc://calls; grpc_read_timeout 20s; client_max_body_size 0; }
  }
}`, home, port, upstream, calls)
	file := filepath.Join(home, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	master := launchProgram(t, "nginx", "-c", file, "-e", filepath.Join(home, "error.log"))
	t.Cleanup(func() {
		if text, err := os.ReadFile(filepath.Join(home, "error.log")); err == nil && t.Failed() {
			t.Logf("nginx: %s", text)
		}
	})
	listening(t, port)
	t.Cleanup(func() { _ = master.command.Process.Signal(os.Interrupt) })
	for range 100 {
		if children := childrenOf(t, master.pid()); len(children) > 0 {
			t.Cleanup(func() { stop(children[0]) })
			return children[0], port
		}
		pause()
	}
	t.Fatal("nginx has no worker")
	return 0, 0
}

// TestHTTP2Nginx: curl to nginx over HTTP/2, which asks over HTTP/1.1.
func TestHTTP2Nginx(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := multiplexer(t, "http-server")
	worker, port := nginxHTTP2(t, server.line(), "1")
	paths := []string{"/proxy/size/10", "/proxy/status/404", "/proxy/size/20000", "/proxy/size/5", "/proxy/status/500"}
	client, want := curled(t, "--http2-prior-knowledge", port, paths...)
	if truthOnly {
		return
	}
	pids := append(client, worker, server.pid())
	list := o.await(4*len(paths), pids...)
	same(t, "curl", counted(list, spans.Client, client...), want)
	same(t, "nginx", requests(list, worker, spans.Server), want)
	behind := map[string]int{}
	for line, n := range want {
		behind[strings.Replace(line, "/proxy/", "/", 1)+" of version 1.1"] = n
	}
	same(t, "nginx asks", requests(list, worker, spans.Client), behind)
	same(t, "server", requests(list, server.pid(), spans.Server), behind)
	o.settled(t.Name(), len(list), pids...)
}

// TestGRPCNginx: calls through nginx, which encodes heads without its dynamic table.
func TestGRPCNginx(t *testing.T) {
	t.Parallel()
	o := observing(t)
	server := multiplexer(t, "grpc-server")
	worker, port := nginxHTTP2(t, "1", server.line())
	client := multiplexer(t, "grpc-client", fmt.Sprintf("127.0.0.1:%d", port), 8, 6, 0, "patient")
	lines, total := client.lines()
	if truthOnly {
		return
	}
	want := accountOf(lines)
	list := o.await(4*total, client.pid(), worker, server.pid())
	for label, got := range map[string]map[string]int{
		"client": calls(list, client.pid(), spans.Client), "nginx": calls(list, worker, spans.Server),
		"nginx calls": calls(list, worker, spans.Client), "server": calls(list, server.pid(), spans.Server),
	} {
		same(t, label, got, want)
	}
	o.settled(t.Name(), len(list), client.pid(), worker, server.pid())
}
