package shop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"millrace.dev/test/internal/product"
)

// Shop is a running shop.
type Shop struct {
	// Namespace is the service.namespace of every node. Empty: the nodes do not say who they are.
	Namespace string
	// Ports are those on which the nodes listen.
	Ports  []int
	orders string
}

// Open starts stock, orders and a Redis server, which end with the test.
func Open(t *testing.T, namespace string) *Shop {
	t.Helper()
	s := &Shop{Namespace: namespace}
	port, err := product.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	cache := fmt.Sprintf("127.0.0.1:%d", port)
	redis := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir(),
		"--set-proc-title", "no") // a title would be written over the environment, where the name of the service is
	redis.Env = s.environment("cache", "")
	redis.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := redis.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = redis.Process.Signal(syscall.SIGTERM)
		_ = redis.Wait()
	})
	s.prepare(t, cache)
	s.Ports = append(s.Ports, port)
	stock := s.server(t, Node{Role: "stock"})
	s.orders = s.server(t, Node{Role: "orders", Stock: stock, Cache: cache})
	return s
}

// prepare waits for Redis and puts the text there that makes INCR fail.
func (s *Shop) prepare(t *testing.T, address string) {
	t.Helper()
	p := &cache{address: address}
	var err error
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = p.do("SET", 0, false); err == nil {
			for _, c := range p.idle {
				c.Close()
			}
			return
		}
	}
	t.Fatal("redis-server:", err)
}

// OpenWall starts a server that answers everything, on a port that is free if port is 0.
func (s *Shop) OpenWall(t *testing.T, port int) (address string) {
	t.Helper()
	return s.server(t, Node{Role: "wall", Port: port})
}

// server starts a node and gives its address.
func (s *Shop) server(t *testing.T, n Node) string {
	t.Helper()
	command := s.command(t, n)
	input, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("port of %s: %v", n.Role, err)
	}
	var port int
	if _, err := fmt.Sscan(line, &port); err != nil {
		t.Fatalf("port of %s: %v", n.Role, err)
	}
	s.Ports = append(s.Ports, port)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// Go runs a shopper with the requests of n and gives what it measured.
func (s *Shop) Go(t *testing.T, n Node) Report {
	t.Helper()
	n.Role, n.Orders = "shopper", s.orders
	text := s.run(t, n)
	var report Report
	if err := json.Unmarshal(text, &report); err != nil {
		t.Fatal("report of the shopper:", err)
	}
	return report
}

// GoCrowd runs a crowd with the requests of n against a wall.
func (s *Shop) GoCrowd(t *testing.T, n Node) {
	t.Helper()
	n.Role = "crowd"
	s.run(t, n)
}

func (s *Shop) run(t *testing.T, n Node) []byte {
	t.Helper()
	command := s.command(t, n)
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v", n.Role, err)
	}
	return out
}

func (s *Shop) command(t *testing.T, n Node) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command("/proc/self/exe")
	command.Env = s.environment(n.Role, string(text))
	command.Stderr = os.Stderr
	return command
}

// environment names the service of a process as OpenTelemetry's SDKs read it.
func (s *Shop) environment(service, node string) []string {
	var out []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "OTEL_") {
			out = append(out, e)
		}
	}
	if s.Namespace != "" {
		out = append(out, "OTEL_SERVICE_NAME="+service, "OTEL_RESOURCE_ATTRIBUTES=service.namespace="+s.Namespace)
	}
	if node != "" {
		out = append(out, Environment+"="+node)
	}
	return out
}
