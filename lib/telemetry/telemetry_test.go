package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/telemetry"
)

func TestReadiness(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.New(config.Telemetry{}, "decoder")
	if err != nil {
		t.Fatal(err)
	}
	check := func(status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		tel.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/readyz", nil))
		if w.Code != status || w.Body.String() != body {
			t.Errorf("%d %q, want %d %q", w.Code, w.Body.String(), status, body)
		}
	}
	check(503, "decoder: starting\n")
	tel.Announce("bus", "decoder")
	check(503, "bus: starting\ndecoder: starting\n")
	tel.SetReady("bus", nil)
	check(503, "decoder: starting\n")
	tel.SetReady("decoder", nil)
	tel.Announce("bus")
	check(200, "ready\n")
	tel.SetReady("bus", errors.New("lost\nin space"))
	check(503, "bus: lost; in space\n")
}

func TestHandler(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.New(config.Default().Telemetry, "decoder")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path string
		status       int
		want         string
	}{
		{"GET", "/healthz", 200, "ok\n"},
		{"HEAD", "/healthz", 200, ""},
		{"GET", "/metrics", 200, "go_build_info"},
		{"POST", "/metrics", 405, ""},
		{"GET", "/", 404, ""},
	} {
		w := httptest.NewRecorder()
		tel.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), tt.method, tt.path, nil))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s: %d %.100q, want %d %q", tt.method, tt.path, w.Code, w.Body.String(), tt.status, tt.want)
		}
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	tel, err := telemetry.NewTo(&out, config.Telemetry{LogFormat: "json", LogLevel: "warn"}, "decoder")
	if err != nil {
		t.Fatal(err)
	}
	tel.Log.Info("quiet")
	tel.Log.Warn("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"msg":"loud"`) || !strings.Contains(got, `"service":"decoder"`) {
		t.Errorf("log: %s", got)
	}
	for _, cfg := range []config.Telemetry{{LogLevel: "loud"}, {LogFormat: "xml"}} {
		if _, err := telemetry.New(cfg, "decoder"); err == nil || !strings.Contains(err.Error(), "telemetry.log_") {
			t.Errorf("%+v: error %v", cfg, err)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for _, tt := range []struct{ listen, want string }{
		{"", ""},
		{"127.0.0.1:0", ""},
		{taken.Addr().String(), "is taken by another process"},
		{"127.0.0.1", "telemetry.listen"},
	} {
		tel, err := telemetry.New(config.Telemetry{Listen: tt.listen}, "decoder")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err = tel.Serve(ctx)
		cancel()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: error %v, want %q", tt.listen, err, tt.want)
		}
	}
}
