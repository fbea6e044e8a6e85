// Package multiplexed holds clients and servers of HTTP/2, gRPC, TLS and WebSocket for tests. Each is a process of its
// own. A client prints an account of what it did, a line for each request or call, and so does a server when its input
// ends.
package multiplexed

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
)

// Environment is the variable whose presence makes a process one of these programs: its name and arguments.
const Environment = "MILLRACE_E2E_MULTIPLEXED"

// Main is the program that the environment asks for, and does not return then.
func Main() {
	arguments := strings.Fields(os.Getenv(Environment))
	if len(arguments) == 0 {
		return
	}
	programs := map[string]func(arguments []string) error{
		"http-server": httpServer, "http-client": httpClient, "grpc-server": grpcServer, "grpc-client": grpcClient,
		"chain-http": chainHTTP, "chain-grpc": chainGRPC, "chain-load": chainLoad,
		"tls-server": tlsServer, "tls-client": tlsClient,
		"websocket-server": websocketServer, "websocket-client": websocketClient,
	}
	if err := programs[arguments[0]](arguments[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// account prints lines.
var account struct{ sync.Mutex }

func said(format string, values ...any) {
	account.Lock()
	defer account.Unlock()
	fmt.Printf(format+"\n", values...)
}

// listen prints the port of a new listener.
func listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		said("%d", l.Addr().(*net.TCPAddr).Port)
	}
	return l, err
}
