// Command loadgen sends an exact number of HTTP requests, a fixed number at a time, and prints what happened as one
// JSON object.
//
//	loadgen -url http://127.0.0.1:9000/a -concurrency 32 -count 10000 -id run1-
//
// The load is closed-loop: a worker sends its next request when the last one has been answered in full. Each request
// carries its own id, the prefix and a number from 0 to count-1, in the query parameter id. The exit status is 1 if any
// request failed.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// report is what is printed.
type report struct {
	Requests  int            `json:"requests"`          // answered in full
	Failed    int            `json:"failed"`            // not answered, or not in full
	Statuses  map[string]int `json:"statuses"`          // answered requests by status code
	Bytes     int64          `json:"bytes"`             // of response bodies
	Seconds   float64        `json:"seconds"`           // from the first request to the last answer
	Rate      float64        `json:"rate"`              // answered requests per second
	Latency   latency        `json:"latency_ms"`        // of answered requests
	FirstFail string         `json:"failure,omitempty"` // the first failure
}

type latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func main() {
	target := flag.String("url", "", "URL to get")
	concurrency := flag.Int("concurrency", 1, "requests at a time")
	count := flag.Int("count", 1, "requests in all")
	id := flag.String("id", "", "prefix of the requests' ids")
	stay := flag.Bool("stay", false, "after the report, wait for a signal to end: for surroundings that start again what has ended")
	keepAlive := flag.Bool("keepalive", true, "use connections again")
	timeout := flag.Duration("timeout", 30*time.Second, "longest wait for an answer")
	flag.Parse()
	parsed, err := url.Parse(*target)
	if err != nil || parsed.Scheme != "http" || parsed.Host == "" || *concurrency < 1 || *count < 1 {
		fmt.Fprintln(os.Stderr, "loadgen: want -url http://HOST:PORT/PATH, -concurrency and -count of at least 1")
		os.Exit(2)
	}
	result := run(parsed, *concurrency, *count, *id, &http.Client{
		Timeout: *timeout,
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: *timeout}).DialContext,
			MaxIdleConnsPerHost: *concurrency, DisableKeepAlives: !*keepAlive, DisableCompression: true,
		},
	})
	// Standard output may be closed; the exit status still tells.
	_ = json.NewEncoder(os.Stdout).Encode(result)
	if *stay {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
		<-stop
	}
	if result.Failed > 0 {
		os.Exit(1)
	}
}

func run(target *url.URL, concurrency, count int, id string, client *http.Client) report {
	var (
		next    atomic.Int64
		all     sync.WaitGroup
		mu      sync.Mutex
		total   = report{Statuses: map[string]int{}}
		elapsed []time.Duration
		begin   = time.Now()
	)
	for range min(concurrency, count) {
		all.Go(func() {
			own := report{Statuses: map[string]int{}}
			var times []time.Duration
			for n := next.Add(1) - 1; n < int64(count); n = next.Add(1) - 1 {
				start := time.Now()
				status, size, err := get(client, target, id+strconv.FormatInt(n, 10))
				if err != nil {
					own.Failed++
					own.FirstFail = err.Error()
					continue
				}
				times = append(times, time.Since(start))
				own.Requests++
				own.Bytes += size
				own.Statuses[strconv.Itoa(status)]++
			}
			mu.Lock()
			defer mu.Unlock()
			total.add(own)
			elapsed = append(elapsed, times...)
		})
	}
	all.Wait()
	total.Seconds = time.Since(begin).Seconds()
	total.Rate = float64(total.Requests) / total.Seconds
	slices.Sort(elapsed)
	total.Latency = latency{quantile(elapsed, 0.5), quantile(elapsed, 0.9), quantile(elapsed, 0.99), quantile(elapsed, 1)}
	return total
}

func (r *report) add(other report) {
	r.Requests += other.Requests
	r.Failed += other.Failed
	r.Bytes += other.Bytes
	for status, n := range other.Statuses {
		r.Statuses[status] += n
	}
	if r.FirstFail == "" {
		r.FirstFail = other.FirstFail
	}
}

func get(client *http.Client, target *url.URL, id string) (status int, size int64, err error) {
	u := *target
	query := u.Query()
	query.Set("id", id)
	u.RawQuery = query.Encode()
	response, err := client.Get(u.String())
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	size, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, size, err
}

// quantile gives, in milliseconds, the smallest time that the fraction q of sorted times does not exceed.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := max(int(q*float64(len(sorted))+0.999999)-1, 0)
	return float64(sorted[min(i, len(sorted)-1)].Microseconds()) / 1000
}
