package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"millrace.dev/test/internal/spans"
)

// Commands and replies of any size, and pipelines of any length: each command gives one complete span at both ends.
func TestRedisLarge(t *testing.T) {
	for _, test := range []struct {
		name      string
		arguments []string
	}{
		{"replies", []string{"replies"}},
		{"pipelines of 1,000", []string{"pipelines", "1000"}},
		{"pipelines of 10,000", []string{"pipelines", "10000"}},
		{"values", []string{"values"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := observing(t)
			server, port := redisServer(t)
			client := launchProgram(t, append([]string{"python3", "testdata/redis_large.py", fmt.Sprint(port)}, test.arguments...)...)
			sent := map[string]int{}
			if err := json.Unmarshal([]byte(client.line()), &sent); err != nil {
				t.Fatal(err)
			}
			client.wait()
			if truthOnly {
				return
			}
			total := 0
			for _, n := range sent {
				total += n
			}
			// So many take their time: as long as more come, they are waited for.
			for n, since := 0, time.Now(); n < 2*total && time.Since(since) < deadline; time.Sleep(100 * time.Millisecond) {
				if now := len(o.index.Of(client.pid(), server.pid())); now > n {
					n, since = now, time.Now()
				}
			}
			all := o.await(2*total, client.pid(), server.pid())
			if len(all) != 2*total {
				t.Errorf("%d spans of %d commands", len(all), total)
			}
			for _, end := range []struct {
				pid  int
				kind int
			}{{client.pid(), spans.Client}, {server.pid(), spans.Server}} {
				complete := map[string]int{}
				for _, sp := range all {
					if sp.PID() == end.pid && sp.Kind == end.kind && sp.Text("millrace.outcome") == "" {
						complete[sp.Text("db.operation.name")]++
					}
				}
				for name, n := range sent {
					if complete[name] != n {
						t.Errorf("pid %d, %s: %d complete spans of %d", end.pid, name, complete[name], n)
					}
				}
			}
			if t.Failed() {
				t.Log("loss counters:", o.losses())
			}
			o.settled(t.Name(), len(all), client.pid(), server.pid())
		})
	}
}

// Heads of HTTP longer than what a decoder holds of a line, in one send and in several.
func TestLongHeads(t *testing.T) {
	t.Parallel()
	cookie := "Cookie: " + strings.Repeat("c", 100_000)
	many := make([]string, 400)
	for i := range many {
		many[i] = fmt.Sprintf("X-Header-%d: %s", i, strings.Repeat("v", 1000))
	}
	for _, test := range []struct {
		name string
		turn turn
		cuts int
	}{
		{"a header line of 100 KB", withHead("POST", "/long/cookie", 5, cookie), 0},
		{"the same in several sends", withHead("POST", "/long/sends", 5, cookie), 9000},
		{"a head of 400 KB", withHead("POST", "/long/head", 5, many...), 0},
		{"the same in several sends", withHead("POST", "/long/head", 5, many...), 30_000},
		{"a target of 8 KB and a head of 1 MB", withHead("GET", "/"+strings.Repeat("p", 8000), 0, append(many, append(many, many[:200]...)...)...), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.open("c")
			s.turn("c", get("/long/before", 200, 3))
			x := test.turn
			x.request.Chunk = test.cuts
			s.turn("c", x)
			answer := get("/long/answer", 200, 30)
			answer.response.Data = response(200, 30, cookie)
			s.turn("c", answer)
			s.turn("c", get("/long/next", 200, 3))
			s.close("c")
			s.run()
		})
	}
}

// withHead is an exchange whose request has these headers besides.
func withHead(method, path string, body int, headers ...string) turn {
	x := get(path, 200, 7)
	x.method, x.truth.request = method, body
	if body > 0 {
		headers = append([]string{fmt.Sprint("Content-Length: ", body)}, headers...)
	}
	x.request.Data = append(request(method, path, headers...), strings.Repeat("b", body)...)
	return x
}
