package kernel

import (
	"errors"

	"github.com/cilium/ebpf/btf"
)

// uringShape says what the tracepoint io_uring_complete passes; enum uring_shape in bpf/uring.h.
type uringShape uint32

const (
	uringNone uringShape = iota
	uringResult
	uringEntry
)

var errNoURing = errors.New("the tracepoint io_uring_complete does not name the request (before Linux 5.17)")

// uringShapeOf tells it from the tracepoint's type, which has changed several times. The first parameter is the probe's own.
func uringShapeOf(types *btf.Spec) uringShape {
	var tracepoint *btf.Typedef
	if err := types.TypeByName("btf_trace_io_uring_complete", &tracepoint); err != nil {
		return uringNone
	}
	pointer, ok := btf.UnderlyingType(tracepoint).(*btf.Pointer)
	if !ok {
		return uringNone
	}
	function, ok := pointer.Target.(*btf.FuncProto)
	if !ok || len(function.Params) < 4 {
		return uringNone
	}
	isPointer := func(i int) bool {
		_, ok := btf.UnderlyingType(function.Params[i].Type).(*btf.Pointer)
		return ok
	}
	switch {
	case !isPointer(1) || !isPointer(2):
		return uringNone
	case isPointer(3):
		return uringEntry
	case len(function.Params) > 4 && !isPointer(4):
		return uringResult
	}
	return uringNone
}
