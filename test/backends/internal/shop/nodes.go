package shop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stockAnswer is the bytes of the stock's answers.
const stockAnswer = 64

// serve prints its port and serves until the input ends.
func serve(handler http.Handler, port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	go func() { // the test is gone when the input ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return (&http.Server{Handler: handler}).Serve(l)
}

// numberOf is the last segment of the path.
func numberOf(r *http.Request) (int, error) {
	return strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
}

type stock struct{}

func (stock) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := numberOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a := actionOf(n)
	time.Sleep(a.wait)
	w.WriteHeader(a.stock)
	_, _ = io.WriteString(w, filler(stockAnswer))
}

type orders struct {
	stock  string
	client *http.Client
	cache  *cache
}

func newOrders(n Node) orders {
	return orders{n.Stock, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, &cache{address: n.Cache}}
}

func (o orders) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := numberOf(r)
	if err == nil {
		_, err = io.Copy(io.Discard, r.Body)
	}
	a := actionOf(n)
	if err == nil && a.stock != 0 {
		err = o.ask(r, n, a.stock)
	}
	if err == nil && a.command != "" {
		err = o.cache.do(a.command, n, a.failed)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, filler(a.answer))
}

func (o orders) ask(r *http.Request, n, want int) error {
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, fmt.Sprintf("http://%s/stock/%d", o.stock, n), nil)
	if err != nil {
		return err
	}
	return exchange(o.client, request, want)
}

func exchange(client *http.Client, request *http.Request, want int) error {
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s %s: %d, not %d: %s", request.Method, request.URL, response.StatusCode, want, body)
	}
	return err
}

// cache is a Redis client with pooled connections, on which the calling goroutine itself reads and writes.
type cache struct {
	address string
	mu      sync.Mutex
	idle    []*cacheConn
}

type cacheConn struct {
	net.Conn
	reader *bufio.Reader
}

// do runs a command that answers on one line. INCR hits a key that holds a text, and fails.
func (p *cache) do(command string, n int, fails bool) error {
	c, err := p.take()
	if err != nil {
		return err
	}
	words := map[string][]string{
		"SET": {"SET", fmt.Sprintf("order-%d", n), "text"}, "GET": {"GET", "absent"}, "INCR": {"INCR", "order-0"},
	}[command]
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, word := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := io.WriteString(c, b.String()); err != nil {
		return err
	}
	line, err := c.reader.ReadString('\n')
	if err == nil && strings.HasPrefix(line, "-") != fails {
		err = fmt.Errorf("redis answers %s with %q", command, line)
	}
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	return err
}

func (p *cache) take() (*cacheConn, error) {
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
	return &cacheConn{c, bufio.NewReader(c)}, nil
}

// shop makes the requests, fails with the first that failed, and prints a [Report].
func (n *Node) shop() error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n.Concurrency, DisableCompression: true}}
	numbers := make(chan int)
	var (
		mu       sync.Mutex
		report   = Report{Durations: map[string][]time.Duration{}}
		failures []error
		wg       sync.WaitGroup
	)
	for range n.Concurrency {
		wg.Go(func() {
			for number := range numbers {
				a := actionOf(number)
				request, err := http.NewRequest(a.method, fmt.Sprintf("http://%s/orders/%d", n.Orders, number), strings.NewReader(filler(a.sent)))
				if err == nil {
					if a.sent == 0 {
						request.Body, request.ContentLength = http.NoBody, 0
					}
					begin := time.Now()
					err = exchange(client, request, a.status)
					key, took := fmt.Sprintf("%s %d", a.method, a.status), time.Since(begin)
					mu.Lock()
					report.Durations[key] = append(report.Durations[key], took)
					mu.Unlock()
				}
				if err != nil {
					mu.Lock()
					failures = append(failures, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n.Requests {
		numbers <- n.First + i
		time.Sleep(n.Every)
	}
	close(numbers)
	wg.Wait()
	if len(failures) > 0 {
		return fmt.Errorf("%d of %d failed: %w", len(failures), n.Requests, errors.Join(failures[:min(3, len(failures))]...))
	}
	return json.NewEncoder(os.Stdout).Encode(report)
}
