package goruntime

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// Functions that are probed or that tell where to probe. None of them is inlined in any version: the first two contain
// defer statements, newproc.func1 is passed to systemstack as a value, and runqput is far above the inlining budget. A
// program built with an unusual profile may still differ, and then lacks the point.
const (
	nameRoundTrip      = "net/http.(*persistConn).roundTrip"
	nameRequestWrite   = "net/http.(*Request).write"
	nameNewProc        = "runtime.newproc.func1"
	nameRunqPut        = "runtime.runqput"
	nameBackgroundRead = "net/http.(*connReader).backgroundRead"
	// The compiler wraps "go cr.backgroundRead()" in a function whose name differs between versions.
	prefixBackgroundRead = "net/http.(*connReader).startBackgroundRead"
)

func wantedFunction(name []byte) bool {
	switch string(name) {
	case nameRoundTrip, nameRequestWrite, nameNewProc, nameRunqPut, nameBackgroundRead:
		return true
	}
	return len(name) > len(prefixBackgroundRead) && len(name) < 128 && bytes.HasPrefix(name, []byte(prefixBackgroundRead)) &&
		!bytes.HasSuffix(name, []byte("-fm"))
}

// architecture knows the code of one kind of processor. A probe at a wrong place would break the program, so both
// functions accept only what the Go compiler is known to emit.
type architecture struct {
	// entry gives the position of an instruction that is cheap to probe, in the part of a function's code that compares
	// the stack pointer with the goroutine's limit: before any argument register is written.
	entry func(code []byte) (position uint64, ok bool)
	// call gives the position of the only call (or jump, when tail is set) of target.
	call func(code []byte, address, target uint64) (position uint64, ok bool)
}

var architectures = map[elf.Machine]*architecture{
	elf.EM_X86_64:  {entry: entryAMD64, call: callAMD64},
	elf.EM_AARCH64: {entry: entryARM64, call: callARM64},
}

// pointsOf finds the points; what it cannot find or does not recognise stays 0.
func pointsOf(file *elf.File, offsets Offsets) (points Points) {
	table, err := openFunctionTable(file)
	if err != nil {
		return Points{}
	}
	functions, err := table.find(wantedFunction)
	if err != nil {
		return Points{}
	}
	image := image{file}
	arch := architectures[file.Machine]
	entry := func(name string) uint64 {
		f, code := functions[name], image.code(functions[name])
		if position, ok := arch.entry(code); ok {
			return image.offset(f.entry + position)
		}
		return 0
	}
	points.RoundTrip, points.RequestWrite = entry(nameRoundTrip), entry(nameRequestWrite)
	if points.RoundTrip == 0 || points.RequestWrite == 0 {
		points.RoundTrip, points.RequestWrite = 0, 0
	}
	newProc := functions[nameNewProc]
	code := image.code(newProc)
	if _, ok := arch.entry(code); !ok || offsets.ParentGoid == 0 && offsets.CurrentG == 0 {
		return points
	}
	position, ok := arch.call(code, newProc.entry, functions[nameRunqPut].entry)
	if !ok {
		return points
	}
	points.NewGoroutine = image.offset(newProc.entry + position)
	for name, f := range functions {
		if !strings.HasPrefix(name, prefixBackgroundRead) {
			continue
		}
		if _, ok := arch.call(image.code(f), f.entry, functions[nameBackgroundRead].entry); ok {
			points.BackgroundRead = int64(f.entry - newProc.entry - position)
		}
	}
	return points
}

// image reads an executable by address.
type image struct{ file *elf.File }

func (i image) segment(address uint64) *elf.Prog {
	for _, p := range i.file.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && address >= p.Vaddr && address-p.Vaddr < p.Filesz {
			return p
		}
	}
	return nil
}

// code gives a function's code, at most its first 4 KiB; nil if it is not in the file.
func (i image) code(f function) []byte {
	p := i.segment(f.entry)
	if p == nil || f.end <= f.entry {
		return nil
	}
	code := make([]byte, min(f.end-f.entry, 4096, p.Filesz-(f.entry-p.Vaddr)))
	if _, err := p.ReadAt(code, int64(f.entry-p.Vaddr)); err != nil {
		return nil
	}
	return code
}

// offset gives the position in the file of an address; 0 if it has none.
func (i image) offset(address uint64) uint64 {
	p := i.segment(address)
	if p == nil {
		return 0
	}
	return address - p.Vaddr + p.Off
}

// entryAMD64 accepts the two prologues that cmd/internal/obj/x86 emits for frames below 4 KiB:
//
//	cmp rsp, [r14+16]                       or  lea r12, [rsp-frame]; cmp r12, [r14+16]
//	jbe morestack
//	push rbp                                (Go 1.21 and later)
//
// It prefers the push, which runs once even when the stack has to grow.
func entryAMD64(code []byte) (uint64, bool) {
	at := 0
	switch {
	case bytes.HasPrefix(code, []byte{0x49, 0x3b, 0x66, 0x10}):
		at = 4
	case bytes.HasPrefix(code, []byte{0x4c, 0x8d, 0x64, 0x24}): // 8-bit displacement
		at = 5
	case bytes.HasPrefix(code, []byte{0x4c, 0x8d, 0xa4, 0x24}): // 32-bit displacement
		at = 8
	default:
		return 0, false
	}
	if at > 4 {
		if len(code) < at || !bytes.HasPrefix(code[at:], []byte{0x4d, 0x3b, 0x66, 0x10}) {
			return 0, false
		}
		at += 4
	}
	next := 0
	switch {
	case len(code) > at+2 && code[at] == 0x76:
		next = at + 2
	case len(code) > at+6 && code[at] == 0x0f && code[at+1] == 0x86:
		next = at + 6
	default:
		return 0, false
	}
	if code[next] == 0x55 {
		return uint64(next), true
	}
	return uint64(at), true
}

// callAMD64 looks for call and jmp with the 32-bit displacement to target. Bytes within another instruction could look
// like it by chance of one in four billion per byte; two matches are refused.
func callAMD64(code []byte, address, target uint64) (position uint64, ok bool) {
	if target == 0 {
		return 0, false
	}
	for at := 0; at+5 <= len(code); at++ {
		if code[at] != 0xe8 && code[at] != 0xe9 {
			continue
		}
		if address+uint64(at)+5+uint64(int64(int32(binary.LittleEndian.Uint32(code[at+1:])))) != target {
			continue
		}
		if ok {
			return 0, false
		}
		position, ok = uint64(at), true
	}
	return position, ok
}

// entryARM64 accepts a function that begins by loading the goroutine's stack limit, ldr x16, [x28, #16], and takes its
// branch to morestack, b.ls, which the kernel simulates.
func entryARM64(code []byte) (uint64, bool) {
	if len(code) < 4 || binary.LittleEndian.Uint32(code) != 0xf9400b90 {
		return 0, false
	}
	for at := 4; at <= 24 && at+4 <= len(code); at += 4 {
		if binary.LittleEndian.Uint32(code[at:])&0xff00001f == 0x54000009 {
			return uint64(at), true
		}
	}
	return 0, false
}

// callARM64 looks for bl and b to target.
func callARM64(code []byte, address, target uint64) (position uint64, ok bool) {
	if target == 0 {
		return 0, false
	}
	for at := 0; at+4 <= len(code); at += 4 {
		instruction := binary.LittleEndian.Uint32(code[at:])
		if instruction&0x7c000000 != 0x14000000 {
			continue
		}
		distance := int64(int32(instruction<<6)) >> 6 * 4
		if address+uint64(at)+uint64(distance) != target {
			continue
		}
		if ok {
			return 0, false
		}
		position, ok = uint64(at), true
	}
	return position, ok
}
