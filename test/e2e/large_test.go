package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

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
