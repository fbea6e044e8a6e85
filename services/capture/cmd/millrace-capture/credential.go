package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"millrace.dev/lib/service"
	"millrace.dev/services/capture/internal/credential"
)

// credentialUsage stands above the flags.
const credentialUsage = `Usage: millrace-capture credential --from URL --ca FILE --token FILE --out FILE [--rotation TEXT]

Fetches the credential of this node from a release on Kubernetes, and waits until it gets one. It runs before capture,
without privileges.

`

// fetch is the command `credential`; it gives the exit code.
func fetch(arguments []string) int {
	r := credential.Request{Say: func(reason string) { fmt.Fprintln(os.Stderr, "no credential yet:", reason) }}
	flags := flag.NewFlagSet("millrace-capture credential", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), credentialUsage)
		flags.PrintDefaults()
	}
	flags.StringVar(&r.URL, "from", "", "`URL` of the issuer of credentials")
	flags.StringVar(&r.CAFile, "ca", "", "`file` with the authority of its certificate")
	flags.StringVar(&r.TokenFile, "token", "", "`file` with a token of this pod")
	flags.StringVar(&r.Out, "out", "", "`file` to write, for bus.credentials_file")
	flags.StringVar(&r.Rotation, "rotation", "", "which rotation of the release's keys it is to be of")
	switch err := flags.Parse(arguments); {
	case errors.Is(err, flag.ErrHelp):
		return service.ExitOK
	case err != nil:
		return service.ExitUsage
	case r.URL == "" || r.CAFile == "" || r.TokenFile == "" || r.Out == "" || flags.NArg() > 0:
		flags.Usage()
		return service.ExitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := credential.Fetch(ctx, r); err != nil {
		fmt.Fprintln(os.Stderr, "millrace-capture credential:", err)
		return service.ExitFailure
	}
	fmt.Fprintln(os.Stderr, "the credential of this node is in", r.Out)
	return service.ExitOK
}
