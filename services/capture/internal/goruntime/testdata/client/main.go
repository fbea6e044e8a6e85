// Command client makes HTTP requests from many goroutines over pooled connections and says afterwards which goroutine
// wanted each request, which one wrote it and when, and which goroutine made which: the truth that the probes are
// compared with.
//
// It waits for a line on its standard input before it starts any of that, and writes one JSON object to its standard
// output.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

type write struct {
	Path      string
	Goroutine uint64
	Time      uint64 // CLOCK_MONOTONIC when the write began
}

type truth struct {
	Callers map[string]uint64 // path -> goroutine that wanted it
	Parents map[uint64]uint64 // goroutine -> goroutine that made it
	Writes  []write
	Elapsed time.Duration
}

var (
	mu     sync.Mutex
	result = truth{Callers: map[string]uint64{}, Parents: map[uint64]uint64{}}
)

func main() {
	concurrency := flag.Int("concurrency", 32, "callers at once")
	requests := flag.Int("requests", 64, "requests of each caller")
	depth := flag.Int("depth", 3, "goroutines between main and the one that calls")
	spawn := flag.Int("spawn", 0, "only make this many goroutines, one after the other")
	quiet := flag.Bool("quiet", false, "do not note the truth, for measurements")
	flag.Parse()
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		os.Exit(1)
	}
	start := time.Now()
	if *spawn > 0 {
		goroutines(*spawn)
	} else if err := load(*concurrency, *requests, *depth, *quiet); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	result.Elapsed = time.Since(start)
	json.NewEncoder(os.Stdout).Encode(result)
	// The probes stay readable until the test has seen the output.
	io.Copy(io.Discard, os.Stdin)
}

func goroutines(n int) {
	done := make(chan struct{})
	for i := 0; i < n; i++ {
		go func() { done <- struct{}{} }()
		<-done
	}
}

func load(concurrency, requests, depth int, quiet bool) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	}))
	transport := &http.Transport{MaxIdleConnsPerHost: concurrency / 2, MaxConnsPerHost: concurrency}
	if !quiet {
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, network, address)
			return &noting{Conn: c}, err
		}
	}
	client := &http.Client{Transport: transport}
	failed := make(chan error, concurrency)
	var all sync.WaitGroup
	for caller := 0; caller < concurrency; caller++ {
		caller := caller
		all.Add(1)
		nested(depth, goid(), func() {
			defer all.Done()
			for n := 0; n < requests; n++ {
				path := fmt.Sprintf("/%d/%d", caller, n)
				var body io.Reader
				method := "GET"
				if n%5 == 4 {
					method, body = "POST", strings.NewReader(strings.Repeat("x", 20000))
				}
				if !quiet {
					mu.Lock()
					result.Callers[path] = goid()
					mu.Unlock()
				}
				request, _ := http.NewRequest(method, "http://"+listener.Addr().String()+path, body)
				response, err := client.Do(request)
				if err != nil {
					failed <- err
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// nested runs f in a goroutine made by a goroutine, and so on, depth levels down.
func nested(depth int, parent uint64, f func()) {
	go func() {
		self := goid()
		mu.Lock()
		result.Parents[self] = parent
		mu.Unlock()
		if depth > 1 {
			nested(depth-1, self, f)
			return
		}
		f()
	}()
}

// noting notes who writes which request.
type noting struct{ net.Conn }

func (c *noting) Write(p []byte) (int, error) {
	if fields := bytes.Fields(p[:min(len(p), 64)]); len(fields) > 1 && (string(fields[0]) == "GET" || string(fields[0]) == "POST") {
		mu.Lock()
		result.Writes = append(result.Writes, write{string(fields[1]), goid(), monotonic()})
		mu.Unlock()
	}
	return c.Conn.Write(p)
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func monotonic() uint64 {
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, 1, uintptr(unsafe.Pointer(&t)), 0)
	return uint64(t.Sec)*1e9 + uint64(t.Nsec)
}

// goid reads the running goroutine's id from the head of its stack trace, "goroutine 17 [running]:".
func goid() uint64 {
	var buffer [64]byte
	n := runtime.Stack(buffer[:], false)
	id, _ := strconv.ParseUint(strings.Fields(string(buffer[:n]))[1], 10, 64)
	return id
}
