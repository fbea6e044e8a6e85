package goruntime

import (
	"debug/elf"
	"fmt"
	"strconv"
	"strings"
)

// versions holds the offsets of each released Go on 64-bit processors; the first entry whose minor version is not above
// the wanted one counts. They were read from the debug information that these releases put into a program on amd64:
// 1.17.1, 1.17.13, 1.18, 1.18.10, 1.20.14, 1.21.0, 1.21.13, 1.22.0, 1.22.12, 1.23.0, 1.23.12, 1.24.0, 1.24.13, 1.25.0,
// 1.25.14, 1.26.0, 1.26.8, 1.26.11, 1.27.0, 1.27.4; and on arm64 by 1.26.8. Go 1.19 lies between two that agree. Before
// 1.17 arguments are not in registers, and nothing is supported.
var versions = []struct {
	minor int
	Offsets
}{
	{26, Offsets{Goid: 152, ParentGoid: 280, StartPC: 304, M: 48, CurrentG: 184}},
	{25, Offsets{Goid: 152, ParentGoid: 272, StartPC: 296, M: 48, CurrentG: 184}},
	{23, Offsets{Goid: 160, ParentGoid: 280, StartPC: 304, M: 48, CurrentG: 192}},
	{21, Offsets{Goid: 152, ParentGoid: 272, StartPC: 296, M: 48, CurrentG: 192}},
	{17, Offsets{Goid: 152, StartPC: 312, M: 48, CurrentG: 192}},
}

// newest is the highest minor version that versions holds for.
const newest = 27

// offsetsOf takes the offsets from the table for the releases that it was made from, and from the debug information for
// others: development versions, releases that are newer than this code, other distributors' changes.
func offsetsOf(version string, file *elf.File) (Offsets, error) {
	minor, released := release(version)
	if released && minor < versions[len(versions)-1].minor {
		return Offsets{}, fmt.Errorf("%w: %s is older than Go 1.17", ErrUnsupported, version)
	}
	if released && minor <= newest {
		for _, v := range versions {
			if minor >= v.minor {
				return v.Offsets, nil
			}
		}
	}
	offsets, err := offsetsFromDWARF(file)
	if err != nil {
		return Offsets{}, fmt.Errorf("%w: %s: %w", ErrUnsupported, version, err)
	}
	return offsets, nil
}

// release gives N for "go1.N" and "go1.N.P", also with a list of experiments behind it ("go1.26.8 X:jsonv2"). Release
// candidates and anything else that differs from a release are not releases.
func release(version string) (minor int, ok bool) {
	version, _, _ = strings.Cut(version, " X:")
	rest, ok := strings.CutPrefix(version, "go1.")
	if !ok {
		return 0, false
	}
	first, patch, patched := strings.Cut(rest, ".")
	minor, err := strconv.Atoi(first)
	if err != nil || minor < 0 {
		return 0, false
	}
	if patched {
		if p, err := strconv.Atoi(patch); err != nil || p < 0 {
			return 0, false
		}
	}
	return minor, true
}
