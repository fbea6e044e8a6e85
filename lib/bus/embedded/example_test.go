package embedded_test

import (
	"context"
	"fmt"
	"time"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
)

// The process connects to its own server through memory; nothing listens on a port.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg := config.Default().Bus
	cfg.Embedded.Listen = ""
	server, err := embedded.Start(cfg)
	if err != nil {
		panic(err)
	}
	defer server.Shutdown()
	conn, err := bus.Connect(ctx, cfg, "millrace", server.InProcess())
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Println(bus.EnsureStreams(ctx, conn, bus.StreamRaw))
	// Output: <nil>
}
