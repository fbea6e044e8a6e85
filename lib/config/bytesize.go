package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ByteSize is a number of bytes. In text it is a plain integer, or a number with a unit: B, KB, MB, GB, TB (powers of
// 1000) or KiB, MiB, GiB, TiB (powers of 1024), for example "64MiB" or "1.5GB". Case of the unit does not matter.
type ByteSize int64

// Binary sizes, for writing defaults and tests.
const (
	KiB ByteSize = 1 << 10
	MiB ByteSize = 1 << 20
	GiB ByteSize = 1 << 30
)

var byteUnits = []struct {
	name string
	size int64
}{
	// Longest names first: "MiB" ends in "B".
	{"kib", 1 << 10},
	{"mib", 1 << 20},
	{"gib", 1 << 30},
	{"tib", 1 << 40},
	{"kb", 1e3},
	{"mb", 1e6},
	{"gb", 1e9},
	{"tb", 1e12},
	{"b", 1},
}

// ParseByteSize reads the text form of a size. Negative sizes, sizes beyond 8 EiB and fractions of a byte are errors.
func ParseByteSize(text string) (ByteSize, error) {
	number, unit := strings.ToLower(strings.TrimSpace(text)), int64(1)
	for _, u := range byteUnits {
		if rest, found := strings.CutSuffix(number, u.name); found {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	if n, err := strconv.ParseUint(number, 10, 63); err == nil {
		if n > uint64(math.MaxInt64/unit) {
			return 0, fmt.Errorf("size %q is too large", text)
		}
		return ByteSize(int64(n) * unit), nil
	}
	// strconv also reads hexadecimal, "inf" and exponents, which nobody means in a size.
	if strings.Trim(number, "0123456789.") != "" {
		return 0, fmt.Errorf("%q is not a size: write for example 65536, 64KiB or 1GB", text)
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size: write for example 65536, 64KiB or 1GB", text)
	}
	f *= float64(unit)
	switch {
	case f >= math.MaxInt64:
		return 0, fmt.Errorf("size %q is too large", text)
	case f != math.Trunc(f):
		return 0, fmt.Errorf("size %q is not a whole number of bytes", text)
	}
	return ByteSize(f), nil
}

// String gives the shortest exact text form with a binary unit, or plain bytes.
func (s ByteSize) String() string {
	for _, u := range []struct {
		name string
		size ByteSize
	}{{"TiB", 1 << 40}, {"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalText implements [encoding.TextMarshaler].
func (s ByteSize) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *ByteSize) UnmarshalText(text []byte) error {
	parsed, err := ParseByteSize(string(text))
	if err != nil {
		return err
	}
	*s = parsed
	return nil
}
