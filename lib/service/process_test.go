package service

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// roleVariable makes the test binary a service, so that signals and panics meet a real process.
const roleVariable = "SERVICE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "panics":
		os.Exit(Main("test", func(context.Context, *Env) error {
			go func() { panic("found me") }()
			select {}
		}))
	case "hangs":
		os.Exit(Main("test", func(_ context.Context, env *Env) error {
			env.Telemetry.Log.Info("running")
			select {}
		}))
	default:
		os.Exit(Main("test", func(ctx context.Context, env *Env) error {
			env.Telemetry.Log.Info("running")
			<-ctx.Done()
			return nil
		}))
	}
}

func TestProcess(t *testing.T) {
	t.Parallel()
	server := startServer(t, "127.0.0.1:0")
	for _, tt := range []struct {
		role    string
		signals []os.Signal
		code    int // -1: ended by a signal
		want    string
	}{
		{"stops", []os.Signal{syscall.SIGTERM}, ExitOK, "msg=stopped"},
		{"stops", []os.Signal{syscall.SIGINT}, ExitOK, "msg=stopped"},
		{"hangs", []os.Signal{syscall.SIGTERM, syscall.SIGTERM}, -1, "msg=stopping"},
		{"panics", nil, 2, "panic: found me"},
	} {
		t.Run(tt.role, func(t *testing.T) {
			t.Parallel()
			var out output
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), roleVariable+"="+tt.role, "MILLRACE_BUS_URL="+server.ClientURL())
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			killer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
			defer killer.Stop()
			for i, s := range tt.signals {
				awaited := []string{"msg=running", "msg=stopping"}[i]
				eventually(t, awaited, func() bool { return strings.Contains(out.String(), awaited) })
				if err := cmd.Process.Signal(s); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait() // The exit code says it all.
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d; output, want %q:\n%s", code, tt.code, tt.want, out.String())
			}
		})
	}
}
