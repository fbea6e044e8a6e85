// Command millrace-capture is the privileged part of Millrace: it publishes the raw events of its node.
package main

import (
	"os"

	"millrace.dev/lib/service"
	"millrace.dev/services/capture"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "credential" {
		os.Exit(fetch(os.Args[2:]))
	}
	os.Exit(service.MainBeforeBus("capture", capture.Run, service.Tool{
		Name: "doctor", About: "says what this kernel and these capabilities allow, and what is lost without them", Run: capture.Doctor,
	}))
}
