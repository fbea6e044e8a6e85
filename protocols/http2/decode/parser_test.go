package decode

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// shop answers like a service, and like one of gRPC under /grpc.
func shop() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		w.Write(b)
		w.Header().Set("X-Sum", "1")
	})
	mux.HandleFunc("/status/", func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/status/%d", &code)
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(code)
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.Write([]byte("late"))
	})
	mux.HandleFunc("/abort", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("abc"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/pkg.Service/", func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/grpc")
		if strings.HasSuffix(r.URL.Path, "/Bad") {
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "no such thing")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		w.Write([]byte("\x00\x00\x00\x00\x02ab\x01\x00\x00"))
		w.(http.Flusher).Flush()
		w.Write([]byte("\x00\x01c\x00\x00\x00\x00\x00"))
		w.Header().Set("Grpc-Status", "0")
	})
	return mux
}

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// conversation asks the shop in turn, and gives what a client and a server should see.
func conversation(t *testing.T) (pieces []piece, client, server []string) {
	ask := func(t *testing.T, c *http.Client) {
		do := func(method, path string, body string, header ...string) {
			r, _ := http.NewRequest(method, "http://shop.example:81"+path, strings.NewReader(body))
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			resp, err := c.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		do("GET", "/status/200", "", "Authorization", "Bearer secret", "Traceparent", parent)
		do("GET", "/status/404", "", "Authorization", "Bearer secret")
		do("PUT", "/status/503", "x")
		do("POST", "/echo", strings.Repeat("z", 40000))
		do("PATCH", "/early", "")
		do("POST", "/pkg.Service/Good", "\x00\x00\x00\x00\x04abcd", "Content-Type", "application/grpc+proto", "Te", "trailers")
		do("POST", "/pkg.Service/Bad", "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01a", "Content-Type", "application/grpc")
	}
	url := "url.full=http://shop.example:81"
	add := func(format string, path, query string, errorAtClient string, errorAtServer string) {
		full := path
		at := "url.scheme=http url.path=" + path
		if query != "" {
			full += "?" + query
			at += " url.query=" + query
		}
		client = append(client, fmt.Sprintf(format, url+full)+errorAtClient)
		server = append(server, fmt.Sprintf(format, at)+errorAtServer)
	}
	add("FAMILY_HTTP GET body 0/0 http.request.method=GET %s http.response.status_code=200 trace 4bf9", "/status/200", "", "", "")
	add("FAMILY_HTTP GET body 0/0 http.request.method=GET %s http.response.status_code=404", "/status/404", "", " error 404", "")
	add("FAMILY_HTTP PUT body 1/0 http.request.method=PUT %s http.response.status_code=503", "/status/503", "", " error 503", " error 503")
	add("FAMILY_HTTP POST body 40000/40000 http.request.method=POST %s http.response.status_code=200", "/echo", "", "", "")
	add("FAMILY_HTTP PATCH body 0/4 http.request.method=PATCH %s http.response.status_code=200", "/early", "", "", "")
	call := func(line string) { client, server = append(client, line), append(server, line) }
	call("FAMILY_RPC pkg.Service/Good body 9/18 rpc.system.name=grpc rpc.method=pkg.Service/Good rpc.response.status_code=OK " +
		"millrace.rpc.request.messages=1 millrace.rpc.response.messages=3 millrace.rpc.compressed")
	call("FAMILY_RPC pkg.Service/Bad body 11/0 rpc.system.name=grpc rpc.method=pkg.Service/Bad rpc.response.status_code=NOT_FOUND " +
		"millrace.rpc.request.messages=2 millrace.rpc.response.messages=0")
	client[len(client)-1] += " error NOT_FOUND"
	return record(t, shop(), ask), client, server
}

// TestConversation: what a client of another implementation asked for is what the parser says, however it is cut.
func TestConversation(t *testing.T) {
	t.Parallel()
	pieces, client, server := conversation(t)
	everyWay(t, pieces, false, client)
	everyWay(t, pieces, true, server)
}

// TestInterleaved: streams at once.
func TestInterleaved(t *testing.T) {
	t.Parallel()
	var want []string
	var lock sync.Mutex
	pieces := record(t, shop(), func(t *testing.T, c *http.Client) {
		var all sync.WaitGroup
		for i := range 64 {
			all.Add(1)
			go func() {
				defer all.Done()
				n := 1 + i*1500
				resp, err := c.Post(fmt.Sprintf("http://shop.example/echo?n=%d", i), "text/plain", strings.NewReader(strings.Repeat("z", n)))
				if err != nil || body(resp.Body) != n {
					t.Error("the echo failed: ", err)
					return
				}
				lock.Lock()
				defer lock.Unlock()
				want = append(want, fmt.Sprintf("FAMILY_HTTP POST body %d/%d http.request.method=POST url.full=http://shop.example/echo?n=%d "+
					"http.response.status_code=200", n, n, i))
			}()
		}
		all.Wait()
	})
	for _, restart := range []bool{false, true} {
		if got, want := sorted(run(t, pieces, options{restart: restart})), sorted(want); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// TestResets: a server that gives up in a response, and a client that does not wait for one.
func TestResets(t *testing.T) {
	t.Parallel()
	pieces := record(t, shop(), func(t *testing.T, c *http.Client) {
		if resp, err := c.Get("http://shop.example/abort"); err == nil {
			if _, err = io.ReadAll(resp.Body); err == nil {
				t.Error("the response was not cut")
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		for i, kind := range []string{"text/plain", "application/grpc", "application/grpc"} {
			r, _ := http.NewRequestWithContext(ctx, "POST", "http://shop.example/hang", strings.NewReader("abcd"))
			r.Header.Set("Content-Type", kind)
			if i == 2 { // the client may be told DEADLINE_EXCEEDED, or CANCELLED: the wire does not say
				r.Header.Set("Grpc-Timeout", "50m")
			}
			if _, err := c.Do(r); err == nil {
				t.Error("no timeout")
			}
			ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
		}
		resp, err := c.Get("http://shop.example/status/200") // what was before has reached the server
		if err != nil {
			t.Error(err)
			return
		}
		resp.Body.Close()
	})
	want := []string{
		"FAMILY_HTTP GET body 0/3 http.request.method=GET url.full=http://shop.example/abort http.response.status_code=200 error INTERNAL_ERROR",
		"FAMILY_HTTP POST body 4/0 http.request.method=POST url.full=http://shop.example/hang error CANCEL",
		"FAMILY_RPC hang body 4/0 rpc.system.name=grpc rpc.method=hang rpc.response.status_code=CANCELLED error CANCELLED",
		"FAMILY_RPC hang body 4/0 rpc.system.name=grpc rpc.method=hang error CANCEL",
		"FAMILY_HTTP GET body 0/0 http.request.method=GET url.full=http://shop.example/status/200 http.response.status_code=200",
	}
	want = sorted(want)
	got := sorted(run(t, pieces, options{})) // a cancelled stream may be reset behind the next request
	for i := range got {
		got[i] = strings.Replace(got[i], " millrace.rpc.response.messages=0", "", 1)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
