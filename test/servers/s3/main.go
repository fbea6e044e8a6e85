// Command s3 is a server of S3 in memory, for tests. Its argument is the port.
package main

import (
	"fmt"
	"net/http"
	"os"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func main() {
	server := gofakes3.New(s3mem.New())
	if err := http.ListenAndServe("127.0.0.1:"+os.Args[1], server.Server()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
