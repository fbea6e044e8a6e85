package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "edge:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve")
	calls := flag.String("calls", "", "calls of each request: groups separated by ';', calls of a group by ','")
	redis := flag.String("redis", "", "address of a Redis to write to and read from after the calls, in the serving goroutine")
	depth := flag.Int("depth", 1, "goroutines between the serving one and the one that makes a parallel call")
	delay := flag.Duration("delay", 0, "time that a request takes besides its calls")
	grpcListen := flag.String("grpc", "", "address to serve gRPC at besides: "+takeMethod+", which makes the same calls")
	idle := flag.Int("idle", 4, "idle connections kept for each host: fewer than concurrent calls mixes pooled and fresh ones")
	flag.Parse()

	groups, err := parseCalls(*calls)
	if err != nil {
		return err
	}
	if *redis != "" {
		groups = append(groups, []call{redisCall(*redis)})
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	service := &service{
		groups: groups, depth: *depth, delay: *delay, stores: newStores(*idle), channels: channels{open: map[string]*grpc.ClientConn{}},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *idle}, Timeout: 30 * time.Second},
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-stop
		os.Exit(0)
	}()
	if *grpcListen != "" {
		if err := service.serveGRPC(*grpcListen); err != nil {
			return err
		}
	}
	fmt.Println("listening", listener.Addr())
	return http.Serve(listener, service)
}

// service answers requests.
type service struct {
	groups   [][]call
	depth    int
	delay    time.Duration
	client   *http.Client
	stores   *stores
	channels channels
	// served and made count requests that were answered in full and calls that were, for countsPath.
	served, made atomic.Int64
}

// countsPath says what the service has counted of itself, and is not counted.
const countsPath = "/-/counts"

type counts struct {
	Served int64 `json:"served"`
	Made   int64 `json:"made"`
}

type answer struct {
	ID    string `json:"id"`
	Calls int    `json:"calls"`
	Error string `json:"error,omitempty"`
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == countsPath {
		// The client may have gone; there is nobody to tell.
		_ = json.NewEncoder(w).Encode(counts{s.served.Load(), s.made.Load()})
		return
	}
	a := s.work(r.URL.Query().Get("id"))
	if a.Error != "" {
		w.WriteHeader(http.StatusBadGateway)
	}
	// The client may have gone; there is nobody to tell.
	_ = json.NewEncoder(w).Encode(a)
}

// work is what a request makes the service do.
func (s *service) work(id string) answer {
	a := answer{ID: id}
	if s.delay > 0 {
		time.Sleep(s.delay)
	}
	for _, group := range s.groups {
		if err := s.together(id, group); err != nil {
			a.Error = err.Error()
			return a
		}
		a.Calls += len(group)
		s.made.Add(int64(len(group)))
	}
	s.served.Add(1)
	return a
}

// together makes the calls of a group: one by the serving goroutine itself, several in parallel.
func (s *service) together(id string, group []call) error {
	if len(group) == 1 {
		return s.make(id, group[0])
	}
	errs := make([]error, len(group))
	var all sync.WaitGroup
	for i, c := range group {
		all.Add(1)
		nested(s.depth, func() {
			defer all.Done()
			errs[i] = s.make(id, c)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// nested runs f in a goroutine that is depth goroutines away.
func nested(depth int, f func()) {
	go func() {
		if depth > 1 {
			nested(depth-1, f)
			return
		}
		f()
	}()
}
