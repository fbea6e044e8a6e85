package objects

import _ "embed" // for the object

// GoRuntime is the object of goruntime.bpf.c for this architecture; services/capture/internal/goruntime loads it.
//
//go:embed goruntime_amd64.o
var GoRuntime []byte
