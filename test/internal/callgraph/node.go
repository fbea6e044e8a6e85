package callgraph

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"
)

// Environment is the variable that holds a [Node] in JSON; its presence makes a process a node.
const Environment = "MILLRACE_E2E_NODE"

// Node is what a process does.
type Node struct {
	// Role is a, b, c or load.
	Role string `json:"role"`
	// Next is the address of the node that this one calls; load calls a.
	Next string `json:"next,omitempty"`
	// Redis is the address of the Redis server that b writes to.
	Redis string `json:"redis,omitempty"`
	// Requests and Concurrency of load. Delay is how long c takes for its answer.
	Requests    int           `json:"requests,omitempty"`
	Concurrency int           `json:"concurrency,omitempty"`
	Delay       time.Duration `json:"delay,omitempty"`
	// First is the first id of load.
	First int `json:"first,omitempty"`
}

// Main runs the node that the environment names, and does not return then. Servers print their port and end with their
// input.
func Main() {
	text := os.Getenv(Environment)
	if text == "" {
		return
	}
	var n Node
	err := json.Unmarshal([]byte(text), &n)
	if err == nil {
		if n.Role == "load" {
			err = n.load()
		} else {
			err = n.serve()
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node", n.Role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// known are the headers that net/http's client sends.
var known = map[string]bool{"User-Agent": true, "Accept-Encoding": true, "Connection": true, "Accept": true}

func (n *Node) serve() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	redis := &redisPool{address: n.Redis}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if !known[name] {
				http.Error(w, "header "+name, http.StatusTeapot)
				return
			}
		}
		if err := n.work(r, client, redis); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "ok")
	})}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() { // the test is gone when the input ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return server.Serve(l)
}

func (n *Node) work(r *http.Request, client *http.Client, redis *redisPool) error {
	id := r.URL.Query().Get("id")
	switch n.Role {
	case "a":
		return call(r.Context(), client, n.Next, "/b?id="+url.QueryEscape(id))
	case "b":
		failures := make([]error, 2)
		var wg sync.WaitGroup
		for i := range failures {
			wg.Go(func() {
				failures[i] = call(r.Context(), client, n.Next, fmt.Sprintf("/c?id=%s&n=%d", url.QueryEscape(id), i))
			})
		}
		wg.Wait()
		return errors.Join(append(failures, redis.set("key-"+id))...)
	case "c":
		time.Sleep(n.Delay)
		return nil
	}
	return fmt.Errorf("unknown role %q", n.Role)
}

func call(ctx context.Context, client *http.Client, address, target string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+target, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d %s", target, response.StatusCode, body)
	}
	return err
}

// load makes the requests and fails with the first that failed.
func (n *Node) load() error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	ids := make(chan int)
	failures := make(chan error, n.Requests)
	var wg sync.WaitGroup
	for range n.Concurrency {
		wg.Go(func() {
			for id := range ids {
				if err := call(context.Background(), client, n.Next, fmt.Sprintf("/a?id=%d", id)); err != nil {
					failures <- err
				}
			}
		})
	}
	for i := range n.Requests {
		ids <- n.First + i
	}
	close(ids)
	wg.Wait()
	if len(failures) > 0 {
		return fmt.Errorf("%d of %d failed, the first with %w", len(failures), n.Requests, <-failures)
	}
	return nil
}

// redisPool is a Redis client with pooled connections, on which the calling goroutine itself reads and writes.
type redisPool struct {
	address string
	mu      sync.Mutex
	idle    []*redisConn
}

type redisConn struct {
	net.Conn
	reader *bufio.Reader
}

func (p *redisPool) set(key string) error {
	c, err := p.take()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$1\r\n1\r\n", len(key), key); err != nil {
		return err
	}
	line, err := c.reader.ReadString('\n')
	if err != nil || line != "+OK\r\n" {
		return fmt.Errorf("redis: %q %w", line, errors.Join(err))
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	return nil
}

func (p *redisPool) take() (*redisConn, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.idle) - 1; last >= 0 {
		c := p.idle[last]
		p.idle = p.idle[:last]
		return c, nil
	}
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		return nil, err
	}
	return &redisConn{c, bufio.NewReader(c)}, nil
}
