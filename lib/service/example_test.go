package service_test

import (
	"context"
	"os"

	"millrace.dev/lib/service"
)

// The whole command of a service.
func Example() {
	run := func(ctx context.Context, env *service.Env) error {
		env.Telemetry.SetReady("decoder", nil) // /readyz answers 200 from here on
		<-ctx.Done()
		return nil
	}
	os.Exit(service.Main("decoder", run))
}
