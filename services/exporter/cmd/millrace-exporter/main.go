// Command millrace-exporter runs the exporter alone.
package main

import (
	"os"

	"millrace.dev/lib/service"
	"millrace.dev/services/exporter"
)

func main() { os.Exit(service.Main("exporter", exporter.Run)) }
