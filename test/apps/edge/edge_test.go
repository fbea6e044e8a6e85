package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseCalls(t *testing.T) {
	t.Parallel()
	groups, err := parseCalls(" http://127.0.0.1:1/a?x , http://127.0.0.1:1/b ; redis://127.0.0.1:2 ;")
	if err != nil || len(groups) != 2 || len(groups[0]) != 2 || len(groups[1]) != 1 || groups[1][0].target.Scheme != "redis" {
		t.Errorf("%v, %v", groups, err)
	}
	if groups, err := parseCalls(""); err != nil || len(groups) != 0 {
		t.Errorf("%v, %v", groups, err)
	}
	for _, wrong := range []string{"ftp://a/b", "http://", "a", "http://a b/", "redis:///x", "grpc://"} {
		if _, err := parseCalls(wrong); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

// TestBoth runs the Go program and the Python one against the same backend, which sees every call with its id and no
// trace header.
func TestBoth(t *testing.T) {
	t.Parallel()
	commands := map[string][]string{"go": {buildEdge(t)}}
	if python, err := exec.LookPath("python3"); err == nil {
		commands["python"] = []string{python, "edge.py"}
		commands["python urllib"] = []string{python, "edge.py", "-client=urllib"}
	}
	for name, command := range commands {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen := map[string]int{}
			backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				seen[r.URL.Path+" "+r.URL.Query().Get("n")+" "+r.URL.Query().Get("id")]++
				for header := range r.Header {
					if strings.Contains(strings.ToLower(header), "trace") {
						t.Errorf("header %s", header)
					}
				}
			}))
			defer backend.Close()
			redis, commands := fakeRedis(t)
			address := startEdge(t, append(command, "-depth=2",
				"-calls="+backend.URL+"/b;"+backend.URL+"/c?n=1,"+backend.URL+"/c?n=2", "-redis="+redis)...)
			for i := range 3 {
				id := fmt.Sprintf("r%d", i)
				response, err := http.Get("http://" + address + "/a?id=" + url.QueryEscape(id))
				if err != nil {
					t.Fatal(err)
				}
				var a answer
				if err := json.NewDecoder(response.Body).Decode(&a); err != nil || response.StatusCode != 200 || a.ID != id || a.Calls != 4 {
					t.Errorf("%d %+v %v", response.StatusCode, a, err)
				}
				response.Body.Close()
				for _, want := range []string{"/b  " + id, "/c 1 " + id, "/c 2 " + id} {
					mu.Lock()
					if seen[want] != 1 {
						t.Errorf("%q was called %d times", want, seen[want])
					}
					mu.Unlock()
				}
			}
			if n := len(commands); n != 6 {
				t.Errorf("%d Redis commands, want 6", n)
			}
			backend.Close()
			if response, err := http.Get("http://" + address + "/a?id=x"); err != nil || response.StatusCode != http.StatusBadGateway {
				t.Errorf("without its backend: %v, %v", response, err)
			}
		})
	}
}

func buildEdge(t *testing.T) string {
	t.Helper()
	path := t.TempDir() + "/edge"
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func startEdge(t *testing.T, command ...string) (address string) {
	t.Helper()
	c := exec.Command(command[0], command[1:]...)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(line), "listening ")
}

// fakeRedis answers SET with OK and GET with the value, which is the key without its prefix.
func fakeRedis(t *testing.T) (address string, commands chan string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	commands = make(chan string, 100)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(30 * time.Second))
				for r := bufio.NewReader(c); ; {
					var words []string
					var n int
					if _, err := fmt.Fscanf(r, "*%d\r\n", &n); err != nil {
						return
					}
					for range n {
						var size int
						if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil {
							return
						}
						word := make([]byte, size+2)
						if _, err := io.ReadFull(r, word); err != nil {
							return
						}
						words = append(words, string(word[:size]))
					}
					commands <- words[0]
					value := strings.TrimPrefix(words[1], "edge:")
					if words[0] == "SET" {
						io.WriteString(c, "+OK\r\n")
					} else {
						fmt.Fprintf(c, "$%d\r\n%s\r\n", len(value), value)
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), commands
}
