package goruntime

import (
	"debug/dwarf"
	"debug/elf"
	"errors"
	"fmt"
	"strings"
)

// maxDebug bounds the debug information that is read: it has to be in memory whole. Only executables of a Go that
// is not in the table are looked at this way.
const maxDebug = 256 << 20

// offsetsFromDWARF reads the offsets from the debug information.
func offsetsFromDWARF(file *elf.File) (Offsets, error) {
	var total uint64
	for _, section := range file.Sections {
		if strings.HasPrefix(section.Name, ".debug_") || strings.HasPrefix(section.Name, ".zdebug_") {
			total += section.Size // uncompressed, as a compressed section states it
		}
	}
	if total == 0 {
		return Offsets{}, errors.New("no debug information")
	}
	if total > maxDebug {
		return Offsets{}, fmt.Errorf("debug information of %d bytes is too large", total)
	}
	data, err := file.DWARF()
	if err != nil {
		return Offsets{}, fmt.Errorf("debug information: %w", err)
	}
	var o Offsets
	structs := map[string]map[string]*uint32{
		"runtime.g": {"goid": &o.Goid, "parentGoid": &o.ParentGoid, "startpc": &o.StartPC, "m": &o.M},
		"runtime.m": {"curg": &o.CurrentG},
	}
	for r := data.Reader(); len(structs) > 0; {
		entry, err := r.Next()
		if err != nil {
			return Offsets{}, fmt.Errorf("debug information: %w", err)
		}
		if entry == nil {
			break
		}
		if entry.Tag != dwarf.TagStructType {
			if entry.Tag != dwarf.TagCompileUnit {
				r.SkipChildren()
			}
			continue
		}
		name, _ := entry.Val(dwarf.AttrName).(string)
		fields := structs[name]
		if fields == nil || !entry.Children {
			r.SkipChildren()
			continue
		}
		delete(structs, name)
		for {
			member, err := r.Next()
			if err != nil || member == nil || member.Tag == 0 {
				break
			}
			field, _ := member.Val(dwarf.AttrName).(string)
			if to := fields[field]; to != nil {
				at, _ := member.Val(dwarf.AttrDataMemberLoc).(int64)
				if at < 0 || at >= maxField {
					return Offsets{}, fmt.Errorf("field %s of %s at %d", field, name, at)
				}
				*to = uint32(at)
			}
			r.SkipChildren()
		}
	}
	if o.Goid == 0 {
		return Offsets{}, errors.New("debug information without runtime.g")
	}
	return o, nil
}

// maxField bounds offsets: no struct of the runtime that is read comes near.
const maxField = 4096
