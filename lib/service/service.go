package service

import (
	"context"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/telemetry"
)

// Env is what a service runs in. The service does not close anything of it.
type Env struct {
	Config *config.Config
	// Bus is the connection to NATS; nil where the service has work to do before there is one, see [MainBeforeBus]. Use
	// [Env.Connection] there.
	Bus       *bus.Conn
	Telemetry *telemetry.Telemetry
	// Connect waits for the connection where Bus is nil. The service does not close what it gives.
	Connect func(ctx context.Context) (*bus.Conn, error)
}

// Connection gives the connection to NATS. It waits for a server until ctx ends if there was none yet, and fails at
// once with settings that can never work. To be called by one goroutine.
func (e *Env) Connection(ctx context.Context) (*bus.Conn, error) {
	if e.Bus != nil {
		return e.Bus, nil
	}
	return e.Connect(ctx)
}

// Run is the body of a service: it works until ctx ends and then returns nil, or the reason why it cannot go on.
type Run func(ctx context.Context, env *Env) error
