package goruntime

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// The runtime's table of functions, .gopclntab, is in every Go executable, stripped or not, because the runtime needs
// it. debug/gosym reads it too, but builds a table of all functions in memory: hundreds of megabytes for a large
// program. Here it is read in pieces, and only the functions that were asked for are kept. The layout is that of
// runtime.pcHeader (src/runtime/symtab.go).

const (
	magic116 = 0xfffffffa // Go 1.16 and 1.17: entries are addresses
	magic118 = 0xfffffff0 // Go 1.18 and 1.19: entries are 32-bit distances from the start of the text
	magic120 = 0xfffffff1 // Go 1.20 and later: same layout

	maxFunctions = 8 << 20  // far above the largest programs; bounds the work on a malformed file
	maxNames     = 1 << 30  // bytes of function names, for the same reason
	window       = 64 << 10 // bytes read at once
)

// function is a function's place in the address space of the file.
type function struct {
	entry, end uint64
}

type functionTable struct {
	section   *elf.Section
	wide      bool // entries are 64-bit addresses
	count     uint64
	textStart uint64
	names     uint64 // offset of the names in the section
	lines     uint64 // offset of the table of functions in the section
}

var errTable = errors.New("malformed table of functions")

func openFunctionTable(file *elf.File) (*functionTable, error) {
	var section *elf.Section
	for _, name := range []string{".gopclntab", ".data.rel.ro.gopclntab"} {
		if section = file.Section(name); section != nil {
			break
		}
	}
	if section == nil || section.Type == elf.SHT_NOBITS {
		return nil, errors.New("no table of functions")
	}
	var header [72]byte
	if _, err := section.ReadAt(header[:], 0); err != nil {
		return nil, fmt.Errorf("%w: %w", errTable, err)
	}
	if header[4] != 0 || header[5] != 0 || header[7] != 8 {
		return nil, errTable
	}
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(header[8+8*i:]) }
	t := &functionTable{section: section, count: word(0)}
	switch binary.LittleEndian.Uint32(header[:]) {
	case magic116:
		t.wide, t.names, t.lines = true, word(2), word(6)
	case magic118, magic120:
		t.textStart, t.names, t.lines = word(2), word(3), word(7)
		if t.textStart == 0 {
			t.textStart = textStart(file, section.Addr+24)
		}
		if t.textStart == 0 {
			return nil, fmt.Errorf("%w: start of the text is not known", errTable)
		}
	default:
		return nil, fmt.Errorf("%w: unknown version %#x", errTable, header[:4])
	}
	if t.count == 0 || t.count > maxFunctions || t.names >= t.lines || t.lines >= section.Size || t.lines-t.names > maxNames {
		return nil, errTable
	}
	return t, nil
}

// textStart finds the start of the text where the header does not have it: from Go 1.26 on the header's field is 0 and
// the value is in runtime.moduledata, and the linkers of position independent executables may leave it to a relocation.
func textStart(file *elf.File, headerField uint64) uint64 {
	const textInModule = 176 // runtime.moduledata.text in Go 1.26 and later
	slots := []uint64{headerField}
	if module := file.Section(".go.module"); module != nil && module.Type != elf.SHT_NOBITS {
		var text [8]byte
		if _, err := module.ReadAt(text[:], textInModule); err == nil {
			if start := binary.LittleEndian.Uint64(text[:]); start != 0 {
				return start
			}
		}
		slots = append(slots, module.Addr+textInModule)
	}
	for _, section := range file.Sections {
		if section.Type != elf.SHT_RELA {
			continue
		}
		r := &windowed{r: section}
		for at := uint64(0); at+24 <= section.Size; at += 24 {
			entry, err := r.bytes(at, 24)
			if err != nil {
				break
			}
			if slices.Contains(slots, binary.LittleEndian.Uint64(entry)) {
				return binary.LittleEndian.Uint64(entry[16:])
			}
		}
	}
	return 0
}

// find gives the functions whose names wanted accepts.
func (t *functionTable) find(wanted func(name []byte) bool) (map[string]function, error) {
	names, err := t.findNames(wanted)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	size := uint64(8)
	if t.wide {
		size = 16
	}
	entries, details := &windowed{r: t.section}, &windowed{r: t.section}
	found := make(map[string]function, len(names))
	for i := range t.count {
		entry, err := entries.bytes(t.lines+i*size, size+size/2) // this one and the next one's address
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTable, err)
		}
		var f function
		var detail uint64
		if t.wide {
			f = function{binary.LittleEndian.Uint64(entry), binary.LittleEndian.Uint64(entry[16:])}
			detail = binary.LittleEndian.Uint64(entry[8:])
		} else {
			f = function{
				t.textStart + uint64(binary.LittleEndian.Uint32(entry)),
				t.textStart + uint64(binary.LittleEndian.Uint32(entry[8:])),
			}
			detail = uint64(binary.LittleEndian.Uint32(entry[4:]))
		}
		if detail >= t.section.Size {
			return nil, errTable
		}
		// struct _func begins with the entry, 8 or 4 bytes, and the 32-bit offset of the name.
		name, err := details.bytes(t.lines+detail+size/2, 4)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errTable, err)
		}
		if n, ok := names[binary.LittleEndian.Uint32(name)]; ok {
			found[n] = f
		}
	}
	return found, nil
}

// findNames gives the names that wanted accepts by their offset.
func (t *functionTable) findNames(wanted func(name []byte) bool) (map[uint32]string, error) {
	const longest = 4096 // generic functions have long names; none that is wanted comes near
	found := map[uint32]string{}
	var name []byte
	buffer := make([]byte, window)
	for at := t.names; at < t.lines; {
		n, err := t.section.ReadAt(buffer[:min(uint64(window), t.lines-at)], int64(at))
		if n == 0 {
			return nil, fmt.Errorf("%w: %w", errTable, err)
		}
		for rest := buffer[:n]; len(rest) > 0; {
			end := slices.Index(rest, 0)
			if end < 0 {
				name = append(name, rest[:min(len(rest), longest)]...)
				break
			}
			start := at + uint64(n-len(rest)-len(name))
			full := rest[:end]
			if len(name) > 0 {
				full = append(name, full...)
			}
			if wanted(full) && len(found) < 64 {
				found[uint32(start-t.names)] = strings.Clone(string(full))
			}
			name, rest = name[:0], rest[end+1:]
		}
		at += uint64(n)
	}
	return found, nil
}

// windowed reads small pieces at ascending positions without a system call for each.
type windowed struct {
	r      io.ReaderAt
	start  uint64
	buffer []byte
	n      int
}

func (w *windowed) bytes(at, size uint64) ([]byte, error) {
	if at < w.start || at+size > w.start+uint64(w.n) {
		if w.buffer == nil {
			w.buffer = make([]byte, window)
		}
		n, err := w.r.ReadAt(w.buffer, int64(at))
		w.start, w.n = at, n
		if uint64(n) < size {
			if err == nil {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return w.buffer[at-w.start:][:size], nil
}
