package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"millrace.dev/test/internal/product"
)

// usage is the CPU time that processes have used, in seconds.
func usage(pids map[string][]int) (map[string]float64, error) {
	used := map[string]float64{}
	for name, list := range pids {
		for _, pid := range list {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				return nil, err
			}
			fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
			for _, f := range fields[11:13] { // utime and stime, fields 14 and 15 of proc(5), in hundredths of a second
				n, err := strconv.Atoi(f)
				if err != nil {
					return nil, err
				}
				used[name] += float64(n) / 100
			}
		}
	}
	return used, nil
}

// sum adds up a metric of all instances, over its labels.
func sum(list []*product.Instance, name string) (total float64, err error) {
	byLabels, err := sums(list, name)
	for _, v := range byLabels {
		total += v
	}
	return total, err
}

// sums adds up a metric of all instances, by its labels in braces.
func sums(list []*product.Instance, name string) (map[string]float64, error) {
	totals := map[string]float64{}
	for _, x := range list {
		m, err := x.Metrics()
		if err != nil {
			return nil, err
		}
		for key, v := range m {
			if labels, found := strings.CutPrefix(key, name); found && (labels == "" || labels[0] == '{') {
				totals[labels] += v
			}
		}
	}
	return totals, nil
}

// scrape asks for url every interval until ctx ends, and then gives the first error that it met.
func scrape(ctx context.Context, url string, interval time.Duration) <-chan error {
	result := make(chan error, 1)
	go func() {
		for {
			select {
			case <-ctx.Done():
				result <- nil
				return
			case <-time.After(interval):
			}
			response, err := http.Get(url) //nolint:gosec // Of this machine.
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			if err == nil && response.StatusCode != http.StatusOK {
				err = fmt.Errorf("%s answers %s", url, response.Status)
			}
			if err != nil {
				result <- err
				return
			}
		}
	}()
	return result
}
