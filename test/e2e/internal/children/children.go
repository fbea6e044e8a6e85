// Package children is a server for tests of causes, the Go twin of testdata/children.py: a handler runs a program that
// calls, and another one leaves a goroutine behind that calls for ever.
package children

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
)

// Environment is the variable that holds the address of the server to call; its presence makes a process this server.
const Environment = "MILLRACE_E2E_CHILDREN"

// Main is the server if the environment says so, and does not return then. It prints its port.
func Main() {
	leaf := os.Getenv(Environment)
	if leaf == "" {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/curl/", func(_ http.ResponseWriter, r *http.Request) {
		done := make(chan error)
		go func() { done <- exec.Command("curl", "-sf", "http://"+leaf+r.URL.Path).Run() }()
		if err := <-done; err != nil {
			panic(err) // the request fails
		}
	})
	mux.HandleFunc("/shell/", func(_ http.ResponseWriter, r *http.Request) {
		at := "http://" + leaf + r.URL.Path
		if err := exec.Command("sh", "-c", "curl -sf "+at+"/0; curl -sf "+at+"/1; true").Run(); err != nil {
			panic(err)
		}
	})
	mux.HandleFunc("/start", func(http.ResponseWriter, *http.Request) {
		first := make(chan struct{})
		go poll(leaf, first)
		<-first
	})
	mux.HandleFunc("/idle", func(http.ResponseWriter, *http.Request) { time.Sleep(10 * time.Millisecond) })
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	fmt.Fprintln(os.Stderr, http.Serve(l, mux))
	os.Exit(1)
}

func poll(leaf string, first chan struct{}) {
	for n := 0; ; n++ {
		res, err := http.Get(fmt.Sprintf("http://%s/poll/%d", leaf, n))
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		if n == 0 {
			close(first)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
