package exporter_test

import (
	"os"
	"testing"

	"millrace.dev/lib/service"
	"millrace.dev/services/exporter"
)

// instanceConfig is the variable with the path of the configuration of an exporter that the test binary is to be.
const instanceConfig = "EXPORTER_TEST_INSTANCE"

// TestMain lets the test binary be the processes that tests kill.
func TestMain(m *testing.M) {
	if url := os.Getenv(samplerURL); url != "" {
		os.Exit(samplerProcess(url))
	}
	if path := os.Getenv(instanceConfig); path != "" {
		os.Args = []string{"exporter", "--config", path}
		os.Exit(service.Main("exporter", exporter.Run))
	}
	os.Exit(m.Run())
}
