// Command millrace-decoder turns raw kernel events into exchanges.
package main

import (
	"os"

	"millrace.dev/lib/service"
	"millrace.dev/services/decoder"
)

func main() { os.Exit(service.Main("decoder", decoder.Run)) }
