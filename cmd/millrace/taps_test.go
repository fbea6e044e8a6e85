package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/service"
	"millrace.dev/lib/telemetry"
	"millrace.dev/services/enricher"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// output is what a process has written so far.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// The examples of docs/taps.md show what an enricher makes of exchanges, and the exchanges themselves.
func TestExamplesOfTaps(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tap := filepath.Join(t.TempDir(), "tap")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", tap, filepath.Join(root, "examples/tap")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	programs := map[string][]string{"go": {tap}}
	script := filepath.Join(root, "examples/tap-js")
	if _, err := os.Stat(filepath.Join(script, "node_modules/nats")); err != nil {
		t.Log("the JavaScript example is not tested: run npm install in examples/tap-js")
	} else if node, err := exec.LookPath("node"); err != nil {
		t.Log("the JavaScript example is not tested: there is no node")
	} else {
		programs["javascript"] = []string{node, filepath.Join(script, "tap.js")}
	}
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testTaps(t, program)
		})
	}
}

func testTaps(t *testing.T, program []string) {
	env := tapped(t)
	wants := map[string][]string{
		"spans":            {`client web "SELECT orders"`, `server db "SELECT orders"`, `error=42P01`, `db.query.text="SELECT * FROM orders WHERE id = $1"`, `server shop "GET`},
		"follow prod/db.1": {`"INSERT"`},
		"errors":           {"web: ", "shop: 0 of"},
		"exchanges": {
			`PROTOCOL_POSTGRESQL SELECT orders error=42P01`, `db.query.text="SELECT * FROM orders WHERE id = $1"`, `db.response.returned_rows=-1`,
			`PROTOCOL_HTTP1 GET`,
		},
	}
	taps := map[string]*output{}
	for command := range wants {
		out := &output{}
		args := append([]string{}, program[1:]...)
		if strings.HasSuffix(program[0], "tap") {
			args = append(args, "-url", env.Config.Bus.URL, "-every", "200ms")
		}
		c := exec.CommandContext(t.Context(), program[0], append(args, strings.Fields(command)...)...)
		c.Stdout, c.Stderr = out, out
		c.Env = append(os.Environ(), "NATS_URL="+env.Config.Bus.URL, "EVERY_MS=200")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
		})
		taps[command] = out
	}
	until(t, func() string {
		for command, out := range taps {
			if !strings.Contains(out.String(), "listening") {
				return command + " does not listen: " + out.String()
			}
		}
		return ""
	})
	n := uint64(0)
	until(t, func() string {
		if n%10 == 0 { // Whoever counts shows it with the next message.
			publishCalls(t, env, n)
		}
		n++
		for command, all := range wants {
			for _, want := range all {
				if !strings.Contains(taps[command].String(), want) {
					return fmt.Sprintf("%s does not show %s: %s", command, want, taps[command])
				}
			}
		}
		return ""
	})
	if got := taps["errors"].String(); strings.Contains(got, "web: 0 of") {
		t.Errorf("errors: %s", got)
	}
	if got := taps["follow prod/db.1"].String(); strings.Contains(got, "SELECT") || strings.Contains(got, "GET") {
		t.Errorf("follow shows other services: %s", got)
	}
}

// until waits until missing gives nothing.
func until(t *testing.T, missing func() string) {
	t.Helper()
	what := ""
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if what = missing(); what == "" {
			return
		}
	}
	t.Fatal(what)
}

// tapped is a bus with an enricher.
func tapped(t *testing.T) *service.Env {
	cfg := config.Default()
	cfg.Bus.Partitions, cfg.Enricher.HoldTime = 2, 200*time.Millisecond
	cfg.Bus.Embedded.Listen = "127.0.0.1:0"
	server, err := embedded.Start(cfg.Bus)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	conn, err := bus.Connect(t.Context(), cfg.Bus, "taps", server.InProcess())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := bus.Setup(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	cfg.Bus.URL = server.ClientURL()
	tel, err := telemetry.New(config.Telemetry{LogLevel: "error", LogFormat: "text"}, "enricher")
	if err != nil {
		t.Fatal(err)
	}
	env := &service.Env{Config: cfg, Bus: conn, Telemetry: tel}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- enricher.Run(ctx, env) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("enricher: %v", err)
		}
	})
	return env
}

// publishCalls publishes exchanges as decoders do: a query that failed at both ends, an insert into a database whose
// name has a dot, and an HTTP request.
func publishCalls(t *testing.T, env *service.Env, n uint64) {
	now := uint64(time.Now().UnixNano())
	text := func(name uint32, v string) *millracev1.Attribute {
		return &millracev1.Attribute{Name: name, Value: &millracev1.Attribute_Text{Text: v}}
	}
	for i, x := range []*millracev1.Exchange{
		{Side: millracev1.Side_SIDE_CLIENT, Process: 1},
		{Side: millracev1.Side_SIDE_SERVER, Process: 2},
		{Side: millracev1.Side_SIDE_SERVER, Process: 3},
		{Side: millracev1.Side_SIDE_SERVER, Process: 4},
	} {
		flow := uint64(max(i, 1)) << 32
		x.Key = &millracev1.ExchangeKey{Flow: flow | 7, Offset: n * 100}
		x.StartUnixNs, x.EndUnixNs, x.Outcome = now, now+1e6, millracev1.Outcome_OUTCOME_COMPLETE
		b := &millracev1.ExchangeBatch{Version: 1, Exchanges: []*millracev1.Exchange{x}, Names: []string{"db.query.text", "db.response.returned_rows"}}
		process := &millracev1.Process{Id: x.Process, RuleServiceName: []string{"web", "db", "db.1", "shop"}[i]}
		switch i {
		case 0, 1:
			x.Protocol, x.Family = millracev1.Protocol_PROTOCOL_POSTGRESQL, millracev1.Family_FAMILY_DATABASE
			x.Operation, x.ErrorType = "SELECT orders", "42P01"
			x.Attributes = []*millracev1.Attribute{
				text(0, "SELECT * FROM orders WHERE id = $1"), {Name: 1, Value: &millracev1.Attribute_Number{Number: -1}},
			}
		case 2:
			process.RuleServiceNamespace = "prod"
			x.Protocol, x.Family, x.Operation = millracev1.Protocol_PROTOCOL_POSTGRESQL, millracev1.Family_FAMILY_DATABASE, "INSERT"
		default:
			x.Protocol, x.Family, x.Operation = millracev1.Protocol_PROTOCOL_HTTP1, millracev1.Family_FAMILY_HTTP, "GET"
		}
		b.Processes = []*millracev1.Process{process}
		data, err := b.MarshalVT()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := env.Bus.Publish(t.Context(), bus.ExchangeSubject(bus.ConnectionPartition(x.Key.Flow, env.Bus.Partitions())), "", data); err != nil {
			t.Fatal(err)
		}
	}
}
