package multiplexed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

// httpServer serves HTTP/1.1 and HTTP/2, by prior knowledge and by upgrade. /size/N answers with N bytes, /status/N
// with a status, /hang when the client is gone.
func httpServer([]string) error {
	l, err := listen()
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/size/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		size, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/size/"))
		w.Header().Set("X-Received", strconv.FormatInt(n, 10))
		_, _ = w.Write([]byte(strings.Repeat("s", size)))
	})
	mux.HandleFunc("/status/", func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/status/"))
		w.WriteHeader(status)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	return http.Serve(l, h2c.NewHandler(mux, &http2.Server{MaxConcurrentStreams: 250}))
}

// httpClient asks a server: its arguments are an address, how many requests at once, and how many each of those sends,
// one after the other, on one connection. It prints what it sent and got.
func httpClient(arguments []string) error {
	base := "http://" + arguments[0]
	parallel, _ := strconv.Atoi(arguments[1])
	each, _ := strconv.Atoi(arguments[2])
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: &http.Transport{Protocols: &protocols, DisableCompression: true, MaxIdleConns: 1}}
	do := func(method, path string, body int, at int) error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, method, base+path, io.LimitReader(zeros{}, int64(body)))
		if err != nil {
			return err
		}
		r.ContentLength = int64(body)
		r.Header.Set("Authorization", fmt.Sprintf("Bearer plantedplantedplanted%d", at))
		res, err := client.Do(r)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if path == "/hang" {
			cancel()
			said("%s %s 200 %d 0 CANCEL", method, path, body)
			return nil
		}
		n, err := io.Copy(io.Discard, res.Body)
		said("%s %s %d %d %d", method, path, res.StatusCode, body, n)
		return err
	}
	if err := do("GET", "/size/1", 0, -1); err != nil { // one connection for all
		return err
	}
	errs := make([]error, parallel)
	var all sync.WaitGroup
	for i := range parallel {
		all.Go(func() {
			for j := range each {
				n := i*each + j
				var err error
				switch n % 8 {
				case 0:
					err = do("POST", fmt.Sprintf("/size/%d", n*37), n*101, n)
				case 1:
					err = do("GET", "/status/404", 0, n)
				case 2:
					err = do("DELETE", "/status/503", 0, n)
				case 3:
					err = do("GET", "/hang", 0, n)
				default:
					err = do("GET", fmt.Sprintf("/size/%d", n), 0, n)
				}
				errs[i] = errors.Join(errs[i], err)
			}
		})
	}
	all.Wait()
	if len(arguments) > 3 {
		large, _ := strconv.Atoi(arguments[3])
		errs = append(errs, do("PUT", "/size/"+arguments[3], large, 0))
	}
	return errors.Join(errs...)
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
