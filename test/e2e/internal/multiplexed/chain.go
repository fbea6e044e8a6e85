package multiplexed

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// chainHTTP is a service of HTTP/1.1: for each request, whose path ends in its id, it makes a call of the method of
// that id. What it got as traceparent it passes on. Its argument is the address of the service of gRPC.
func chainHTTP(arguments []string) error {
	conn, err := grpc.NewClient("passthrough:///"+arguments[0], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	l, err := listen()
	if err != nil {
		return err
	}
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // of a test
		ctx := r.Context()
		if carried := r.Header.Get("traceparent"); carried != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "traceparent", carried)
		}
		if err := conn.Invoke(ctx, "/"+service+"/"+path.Base(r.URL.Path), &bytesValue{}, &bytesValue{}); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}))
}

// chainGRPC is a service of gRPC with a method for each id: its handler asks PostgreSQL and then Redis, on connections
// of a pool, both with the id. Its arguments are "grpc" for the server of grpc-go or "http" for that of net/http, and
// the addresses of the databases.
func chainGRPC(arguments []string) error {
	const atOnce = 32
	databases, stores := make(chan *pgx.Conn, atOnce), make(chan net.Conn, atOnce)
	for range atOnce {
		host, port, _ := net.SplitHostPort(arguments[1])
		database, err := pgx.Connect(context.Background(), fmt.Sprintf("host=%s port=%s user=app dbname=shop", host, port))
		if err != nil {
			return err
		}
		databases <- database
		store, err := net.Dial("tcp", arguments[2])
		if err != nil {
			return err
		}
		stores <- store
	}
	handler := func(_ any, s grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(s)
		id := path.Base(method)
		if err := s.RecvMsg(&bytesValue{}); err != nil {
			return err
		}
		database, store := <-databases, <-stores
		defer func() { databases <- database; stores <- store }()
		rows, err := database.Query(s.Context(), "SELECT 1 AS "+id)
		if err != nil {
			return err
		}
		if rows.Close(); rows.Err() != nil {
			return rows.Err()
		}
		if _, err := fmt.Fprintf(store, "*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n", len(id), id); err != nil {
			return err
		}
		if reply, err := bufio.NewReaderSize(store, 64).ReadString('\n'); err != nil || reply[0] != ':' {
			return fmt.Errorf("%q, %w", reply, err)
		}
		return s.SendMsg(&bytesValue{})
	}
	s := grpc.NewServer(grpc.UnknownServiceHandler(handler))
	l, err := listen()
	if err != nil {
		return err
	}
	if arguments[0] == "grpc" {
		return s.Serve(l)
	}
	server := &http.Server{Handler: s, Protocols: new(http.Protocols)} //nolint:gosec // of a test
	server.Protocols.SetUnencryptedHTTP2(true)
	return server.Serve(l)
}

// chainLoad makes requests of HTTP/1.1 whose ids are order0, order1, ...: its arguments are an address and path, how
// many, how many at once, and perhaps "traceparent": each then carries one, see [TraceOf].
func chainLoad(arguments []string) error {
	count, _ := strconv.Atoi(arguments[1])
	atOnce, _ := strconv.Atoi(arguments[2])
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}
	ids := make(chan int, count)
	for id := range count {
		ids <- id
	}
	close(ids)
	var all sync.WaitGroup
	var failed sync.Map
	for range atOnce {
		all.Go(func() {
			for id := range ids {
				r, _ := http.NewRequest(http.MethodGet, fmt.Sprintf("http://%s/order%d", arguments[0], id), nil)
				if len(arguments) > 3 {
					r.Header.Set("Traceparent", "00-"+TraceOf(id)+"-00000000000000a1-01")
				}
				response, err := client.Do(r)
				if err != nil {
					failed.Store(id, err)
					continue
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					failed.Store(id, fmt.Errorf("status %d", response.StatusCode))
				}
			}
		})
	}
	all.Wait()
	var err error
	failed.Range(func(id, why any) bool {
		err = fmt.Errorf("request %v: %v", id, why)
		return false
	})
	return err
}

// TraceOf is the trace that the request with an id carries.
func TraceOf(id int) string { return strings.Repeat("c", 24) + fmt.Sprintf("%08x", id+1) }
