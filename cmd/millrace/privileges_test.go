package main

import (
	"os"
	"path/filepath"
	"testing"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture"
)

func TestBesides(t *testing.T) {
	open := t.TempDir()
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o555); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*config.Config)
		want   capture.Beside
	}{
		"default": {func(*config.Config) {}, capture.Beside{}},
		"file": {func(c *config.Config) {
			c.Exporters.File = &config.FileExporter{Path: filepath.Join(open, "not/yet/spans.jsonl")}
		}, capture.Beside{}},
		"file of others": {func(c *config.Config) {
			c.Exporters.File = &config.FileExporter{Path: filepath.Join(closed, "spans.jsonl")}
		}, capture.Beside{WriteAnyFile: true}},
		"metrics of others": {func(c *config.Config) {
			c.Exporters.File = &config.FileExporter{Path: filepath.Join(open, "a"), MetricsPath: filepath.Join(closed, "b")}
		}, capture.Beside{WriteAnyFile: true}},
		"store of others": {func(c *config.Config) {
			c.Bus.Storage, c.Bus.Embedded.StoreDir = config.StorageFile, filepath.Join(closed, "store")
		}, capture.Beside{WriteAnyFile: true}},
		"store with a server elsewhere": {func(c *config.Config) {
			c.Bus.URL, c.Bus.Storage, c.Bus.Embedded.StoreDir = "nats://a", config.StorageFile, closed
		}, capture.Beside{}},
		"low port": {func(c *config.Config) {
			c.Exporters.Prometheus = &config.PrometheusExporter{Endpoint: ":80"}
		}, capture.Beside{LowPorts: true}},
		"other port": {func(c *config.Config) { c.Bus.Embedded.Listen = "127.0.0.1:4222" }, capture.Beside{}},
	} {
		cfg := config.Default()
		test.change(cfg)
		if got := besides(cfg); got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}
