package service

import (
	"context"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/config"
	"millrace.dev/lib/telemetry"
)

// Env is what a service runs in. The service does not close anything of it.
type Env struct {
	Config    *config.Config
	Bus       *bus.Conn
	Telemetry *telemetry.Telemetry
}

// Run is the body of a service: it works until ctx ends and then returns nil, or the reason why it cannot go on.
type Run func(ctx context.Context, env *Env) error
