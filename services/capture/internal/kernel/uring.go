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

// uringShapeOf tells it from the tracepoint's type, which has changed several times. The first parameter is the probe's
// own.
func uringShapeOf(types *btf.Spec) uringShape {
	function := tracepointType(types, "btf_trace_io_uring_complete")
	if function == nil || len(function.Params) < 4 {
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

// uringOperationAt tells which argument of io_uring_submit_sqe is the operation: the first of one byte.
func uringOperationAt(types *btf.Spec) uint32 {
	if function := tracepointType(types, "btf_trace_io_uring_submit_sqe"); function != nil {
		for i, p := range function.Params {
			if size, err := btf.Sizeof(p.Type); err == nil && size == 1 && i > 0 {
				return uint32(i - 1)
			}
		}
	}
	return 1
}

func tracepointType(types *btf.Spec, name string) *btf.FuncProto {
	var tracepoint *btf.Typedef
	if err := types.TypeByName(name, &tracepoint); err != nil {
		return nil
	}
	pointer, ok := btf.UnderlyingType(tracepoint).(*btf.Pointer)
	if !ok {
		return nil
	}
	function, _ := pointer.Target.(*btf.FuncProto)
	return function
}
