// Package shop is the application whose metrics and traces the tests know beforehand: what request n does follows from
// n alone.
//
//	shopper ──► orders ──► stock
//	               └─────► cache (Redis)
//
// The nodes are ordinary net/http servers and clients. The shopper fails when an answer is not the one that follows
// from the number, so a load that passed did exactly what [TruthOf] says.
package shop

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Environment is the variable that holds a [Node] in JSON; its presence makes a process a node.
const Environment = "SHOP_NODE"

// Node is what a process does.
type Node struct {
	// Role is stock, orders, shopper, wall or crowd.
	Role string `json:"role"`
	// Orders, Stock, Cache and Wall are addresses of what the node calls.
	Orders string `json:"orders,omitempty"`
	Stock  string `json:"stock,omitempty"`
	Cache  string `json:"cache,omitempty"`
	Wall   string `json:"wall,omitempty"`
	// Port that a wall listens on, 0 for any.
	Port int `json:"port,omitempty"`
	// First and Requests of a shopper or a crowd: the numbers of its requests.
	First    int `json:"first,omitempty"`
	Requests int `json:"requests,omitempty"`
	// Concurrency is how many are under way at a time.
	Concurrency int `json:"concurrency,omitempty"`
	// Every is the time from one request of a shopper to the next, 0 for as soon as possible.
	Every time.Duration `json:"every,omitempty"`
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
		switch n.Role {
		case "stock":
			err = serve(stock{}, 0)
		case "orders":
			err = serve(newOrders(n), 0)
		case "wall":
			err = serve(wall{}, n.Port)
		case "shopper":
			err = n.shop()
		case "crowd":
			err = n.crowd()
		default:
			err = fmt.Errorf("unknown role %q", n.Role)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "shop", n.Role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// action is what the shopper asks for with request n.
type action struct {
	method  string
	status  int // of the answer
	stock   int // status of the stock's answer, 0 if it is not asked
	command string
	failed  bool // the cache answers with an error
	sent    int  // bytes of the body
	answer  int  // bytes of the answer's body
	wait    time.Duration
}

func actionOf(n int) action {
	a := action{answer: 40 + n%5}
	switch n % 10 {
	default:
		a.method, a.status, a.stock, a.command, a.sent = "POST", 201, 200, "SET", 100*(n%7)+1
	case 6:
		a.method, a.status, a.stock, a.sent = "POST", 502, 503, 100*(n%7)+1
	case 7:
		a.method, a.status, a.command = "GET", 200, "GET"
	case 8:
		a.method, a.status, a.command = "GET", 404, "GET"
	case 9:
		a.method, a.status, a.command, a.failed = "DELETE", 500, "INCR", true
	}
	if a.stock != 0 {
		a.wait = []time.Duration{2, 17, 60}[n%3] * time.Millisecond
	}
	return a
}

// Routes of the shop, as patterns of routes.patterns.
const (
	OrdersRoute = "/orders/{id}"
	StockRoute  = "/stock/{id}"
)

// Count is how often something happened and how many bytes went which way.
type Count struct {
	Requests int
	// Sent and Received are bytes of the bodies of requests and responses.
	Sent, Received int
}

// Truth is what a load does, by service and side.
type Truth struct {
	// Orders and Stock are answers by "method status".
	Orders, Stock map[string]Count
	// Cache is commands by "operation error", the error "-" where there is none.
	Cache map[string]int
	// Spans is the number of all spans, Failed that of the edges' requests that failed, by "client server".
	Spans  int
	Edges  map[string]int
	Failed map[string]int
}

// TruthOf is the truth of the requests from first to first+requests-1.
func TruthOf(first, requests int) Truth {
	t := Truth{
		Orders: map[string]Count{}, Stock: map[string]Count{}, Cache: map[string]int{}, Edges: map[string]int{}, Failed: map[string]int{},
	}
	for n := first; n < first+requests; n++ {
		a := actionOf(n)
		add(t.Orders, fmt.Sprintf("%s %d", a.method, a.status), a.sent, a.answer)
		t.edge("shopper orders", a.status >= 400) // the client's view, as in the span's status: 404 is a failure
		if a.stock != 0 {
			add(t.Stock, fmt.Sprintf("GET %d", a.stock), 0, stockAnswer)
			t.edge("orders stock", a.stock >= 500)
		}
		if a.command != "" {
			class := "-"
			if a.failed {
				class = "ERR"
			}
			t.Cache[a.command+" "+class]++
			t.edge("orders cache", a.failed)
		}
	}
	return t
}

func (t *Truth) edge(key string, failed bool) {
	t.Edges[key]++
	t.Spans += 2
	if failed {
		t.Failed[key]++
	}
}

func add(counts map[string]Count, key string, sent, received int) {
	c := counts[key]
	c.Requests++
	c.Sent += sent
	c.Received += received
	counts[key] = c
}

// Report is what a shopper prints: durations of its requests by "method status".
type Report struct {
	Durations map[string][]time.Duration
}

// filler is n bytes of a body.
func filler(n int) string { return strings.Repeat("x", n) }
