// Command grpcweb speaks gRPC-Web over a version of HTTP (1, 2), for tests. With a port and the version it serves; with
// the address of such a server and the version it calls it, and prints a line for each call: the method, the status,
// how many messages it sent and how many it got.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// text is the message of all calls.
type text = wrapperspb.StringValue

const secret = "Hunter2-Correct-Horse"

// echo answers with what it got, in as many messages as the text has plus signs; "fails" is not found, also behind
// messages, "large" makes messages of 100 KB.
func echo(_ context.Context, r *connect.Request[text], s *connect.ServerStream[text]) error {
	answer := r.Msg.Value
	if strings.Contains(answer, "large") {
		answer = strings.Repeat(answer, 100<<10/len(answer))
	}
	for range strings.Count(r.Msg.Value, "+") {
		if err := s.Send(&text{Value: answer}); err != nil {
			return err
		}
	}
	if strings.Contains(r.Msg.Value, "fails") {
		return connect.NewError(connect.CodeNotFound, errors.New("there is no "+secret))
	}
	return nil
}

func serve(port, version string) error {
	mux := http.NewServeMux()
	mux.Handle("/test.Echo/Unary", connect.NewUnaryHandler("/test.Echo/Unary", func(_ context.Context, r *connect.Request[text]) (*connect.Response[text], error) {
		if strings.Contains(r.Msg.Value, "fails") {
			return nil, connect.NewError(connect.CodePermissionDenied, errors.New(secret+" must not"))
		}
		return connect.NewResponse(r.Msg), nil
	}))
	mux.Handle("/test.Echo/Stream", connect.NewServerStreamHandler("/test.Echo/Stream", echo))
	server := http.Server{Addr: "127.0.0.1:" + port, Handler: mux, Protocols: over(version)}
	return server.ListenAndServe()
}

// over gives a version of HTTP.
func over(version string) *http.Protocols {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(version == "1")
	protocols.SetUnencryptedHTTP2(version == "2")
	return protocols
}

func call(address, version string) error {
	client := &http.Client{Transport: &http.Transport{Protocols: over(version)}}
	make := func(method string) *connect.Client[text, text] {
		return connect.NewClient[text, text](client, "http://"+address+"/test.Echo/"+method, connect.WithGRPCWeb())
	}
	unary, stream := make("Unary"), make("Stream")
	for _, value := range []string{"short", "fails", "short", secret} {
		got := 1
		_, err := unary.CallUnary(context.Background(), connect.NewRequest(&text{Value: value}))
		if err != nil {
			got = 0
		}
		report("Unary", err, got)
	}
	for _, value := range []string{"+", "+++", "", "fails", "++fails", "+large", strings.Repeat("+", 300)} {
		s, err := stream.CallServerStream(context.Background(), connect.NewRequest(&text{Value: value}))
		if err != nil {
			return err
		}
		got := 0
		for s.Receive() {
			got++
		}
		report("Stream", s.Err(), got)
		if err := s.Close(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}

// names are the statuses of gRPC that the server sends.
var names = map[connect.Code]string{connect.CodePermissionDenied: "PERMISSION_DENIED", connect.CodeNotFound: "NOT_FOUND"}

func report(method string, err error, got int) {
	status := "OK"
	if err != nil {
		status = names[connect.CodeOf(err)]
	}
	fmt.Printf("test.Echo/%s %s 1 %d\n", method, status, got)
}

func main() {
	var err error
	if !strings.Contains(os.Args[1], ":") {
		err = serve(os.Args[1], os.Args[2])
	} else {
		err = call(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
