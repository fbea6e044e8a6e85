package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	headerTimeout   = 5 * time.Second
	shutdownTimeout = 2 * time.Second
)

// Handler serves /healthz (200 as long as the process runs), /readyz (200 when every component is ready, else 503 and
// the reasons, one a line) and /metrics (Prometheus and OpenMetrics text).
func (t *Telemetry) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { text(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ready, reasons := t.Ready(); !ready {
			text(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n"))
			return
		}
		text(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true,
		MaxRequestsInFlight: 8,
		Registry:            t.Registry,
	}))
	return mux
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, body) // A reader that has gone is not our error.
}

// Serve serves [Telemetry.Handler] on telemetry.listen until ctx ends, then lets requests in progress finish for up to
// two seconds and returns nil. Without an address it returns nil at once.
func (t *Telemetry) Serve(ctx context.Context) error {
	listener, err := t.Listen(ctx)
	if err != nil || listener == nil {
		return err
	}
	return t.ServeListener(ctx, listener)
}

// Listen opens telemetry.listen; nil without an address. It is apart from [Telemetry.ServeListener] so that a service
// can fail at start, before it does anything else.
func (t *Telemetry) Listen(ctx context.Context) (net.Listener, error) {
	if t.cfg.Listen == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", t.cfg.Listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("telemetry.listen: %s is taken by another process: choose another address or stop that process: %w",
			t.cfg.Listen, err)
	case err != nil:
		return nil, fmt.Errorf("telemetry.listen: %w", err)
	}
	return listener, nil
}

// ServeListener is [Telemetry.Serve] on a listener, which it closes.
func (t *Telemetry) ServeListener(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           t.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	stopped := make(chan error, 1)
	unregister := context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if err := server.Shutdown(grace); err != nil {
			err = server.Close() // Some request did not finish in time.
			stopped <- err
			return
		}
		stopped <- nil
	})
	err := server.Serve(listener)
	if unregister() {
		return fmt.Errorf("serve telemetry: %w", err)
	}
	return <-stopped
}
