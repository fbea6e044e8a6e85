// Command millrace-enricher runs the enricher alone.
package main

import (
	"os"

	"millrace.dev/lib/service"
	"millrace.dev/services/enricher"
)

func main() { os.Exit(service.Main("enricher", enricher.Run)) }
