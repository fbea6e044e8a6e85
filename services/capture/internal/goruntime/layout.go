package goruntime

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
)

// Errors of [Inspect] that callers tell apart.
var (
	// ErrNotGo: the file is not a Go executable, or its build information has been removed.
	ErrNotGo = errors.New("not a Go executable")
	// ErrUnsupported: a Go executable of a version or an architecture whose layout is not known.
	ErrUnsupported = errors.New("layout of the Go runtime is not known")
)

// Layout is what Millrace needs to know of a Go executable file. It holds for every process of the file.
type Layout struct {
	// Version of Go as the file states it, for example "go1.26.8".
	Version string
	// Module is the path of the main module, "" if the file does not state it.
	Module string
	// Package is the import path of the main package, "" if the file does not state it.
	Package string
	// Offsets of fields of the runtime.
	Offsets Offsets
	// Points where probes may sit. The zero value of each means that there is none.
	Points Points
}

// Offsets are positions of fields, in bytes from the start of their struct.
type Offsets struct {
	Goid       uint32 // runtime.g.goid
	ParentGoid uint32 // runtime.g.parentGoid, 0 before Go 1.21
	StartPC    uint32 // runtime.g.startpc
	M          uint32 // runtime.g.m
	CurrentG   uint32 // runtime.m.curg
}

// Points are offsets in the file, as a uprobe wants them, of instructions that are safe and cheap to probe.
type Points struct {
	// RoundTrip is at the entry of net/http.(*persistConn).roundTrip, its arguments still in registers.
	RoundTrip uint64
	// RequestWrite is at the entry of net/http.(*Request).write, its arguments still in registers.
	RequestWrite uint64
	// NewGoroutine is at the call of runqput in runtime.newproc, with the new goroutine in the second argument
	// register.
	NewGoroutine uint64
	// BackgroundRead is the start of the goroutine that net/http's server makes for each request to notice a client
	// that goes away, as a distance from NewGoroutine's address; 0 if there is none. These goroutines need no report:
	// they only read, and their parent is the goroutine that serves.
	BackgroundRead int64
}

// Any says whether there is anything to probe.
func (p Points) Any() bool { return p.NewGoroutine != 0 || p.RoundTrip != 0 && p.RequestWrite != 0 }

// Inspect reads the executable at path. It reads the tables of functions in pieces, so that its memory does not grow
// with the file; callers keep the result by the file's device and inode. Errors wrap [ErrNotGo] or [ErrUnsupported]
// where the file is whole but of no use. When the offsets are known and the points are not, Points is empty and the
// error nil.
func Inspect(path string) (Layout, error) {
	file, err := os.Open(path)
	if err != nil {
		return Layout{}, fmt.Errorf("inspect: %w", err)
	}
	defer file.Close()
	layout, err := InspectReader(file)
	if err != nil {
		return Layout{}, fmt.Errorf("inspect %s: %w", path, err)
	}
	return layout, nil
}

// InspectReader is [Inspect] for an executable that is not a file of its own.
func InspectReader(r io.ReaderAt) (layout Layout, err error) {
	// debug/elf and debug/dwarf do not promise to survive files made by an adversary, and any user of the node can run
	// one.
	defer func() {
		if p := recover(); p != nil {
			layout, err = Layout{}, fmt.Errorf("malformed executable: %v", p)
		}
	}()
	file, err := elf.NewFile(r)
	if err != nil {
		return Layout{}, fmt.Errorf("%w: %w", ErrNotGo, err)
	}
	built, err := buildinfo.Read(r)
	if err != nil {
		return Layout{}, fmt.Errorf("%w: %w", ErrNotGo, err)
	}
	layout = Layout{Version: built.GoVersion, Module: built.Main.Path, Package: built.Path}
	if file.Class != elf.ELFCLASS64 || file.Data != elf.ELFDATA2LSB || architectures[file.Machine] == nil {
		return Layout{}, fmt.Errorf("%w: %s for %v", ErrUnsupported, built.GoVersion, file.Machine)
	}
	if layout.Offsets, err = offsetsOf(built.GoVersion, file); err != nil {
		return Layout{}, err
	}
	layout.Points = pointsOf(file, layout.Offsets)
	return layout, nil
}
