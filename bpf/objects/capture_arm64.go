package objects

import _ "embed" // for the object

// Capture is the object of capture.bpf.c for this architecture; services/capture/internal/kernel loads it.
//
//go:embed capture_arm64.o
var Capture []byte
