package config

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The schema of the configuration is the Go types: a key is a field with these tags.
//
//	yaml      the key
//	oneof     the values allowed (of a list: of its elements), separated by spaces
//	range     the least and the greatest value, as "least..greatest"
//	check     a named check, see validate.go
//	inactive  "true": accepted, and without effect in this version
//	absent    "true": an empty list is not the same as none, which is printed as nothing
//	kinds     of a map of free-form sections: it takes the keys of the section that begin with one of these kinds and a
//	          slash
//	alone     "true": a scalar in the place of the section is the value of this key
//	secret    how the value is masked when it is printed: "url" or "all"
type field struct {
	index    int
	key      string
	oneof    []string
	least    string
	greatest string
	check    string
	inactive bool
	absent   bool
	alone    bool
	secret   string
	kinds    []string
}

func fieldsOf(t reflect.Type) []field {
	fields := make([]field, 0, t.NumField())
	for i := range t.NumField() {
		tag := t.Field(i).Tag
		f := field{
			index:    i,
			key:      tag.Get("yaml"),
			oneof:    strings.Fields(tag.Get("oneof")),
			check:    tag.Get("check"),
			inactive: tag.Get("inactive") == "true",
			absent:   tag.Get("absent") == "true",
			alone:    tag.Get("alone") == "true",
			secret:   tag.Get("secret"),
			kinds:    strings.Fields(tag.Get("kinds")),
		}
		f.least, f.greatest, _ = strings.Cut(tag.Get("range"), "..")
		fields = append(fields, f)
	}
	return fields
}

func keysOf(t reflect.Type) []string {
	keys := make([]string, 0, t.NumField())
	for _, f := range fieldsOf(t) {
		keys = append(keys, f.key)
	}
	return keys
}

// takes reports whether f holds the section of that key, a kind and a name.
func (f *field) takes(key string) bool {
	kind, name, found := strings.Cut(key, "/")
	return found && slices.Contains(f.kinds, kind) && instanceName.MatchString(name)
}

// instanceName becomes part of names of stages, which are short.
var instanceName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

var (
	durationType = reflect.TypeFor[time.Duration]()
	byteSizeType = reflect.TypeFor[ByteSize]()
	freeFormType = reflect.TypeFor[map[string]any]()
)

// isScalar reports whether values of t are written as one scalar.
func isScalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return true
	default:
		return false
	}
}

// setText sets a scalar from its text.
func setText(v reflect.Value, text string) error {
	switch v.Type() {
	case durationType:
		d, err := parseDuration(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(d))
		return nil
	case byteSizeType:
		size, err := ParseByteSize(text)
		if err != nil {
			return err
		}
		v.SetInt(int64(size))
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int64:
		digits := text
		if !strings.HasPrefix(text, "_") && !strings.HasSuffix(text, "_") {
			digits = strings.ReplaceAll(text, "_", "") // 100_000, as in the Collector's examples
		}
		n, err := strconv.ParseInt(digits, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		v.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("%q is not a number", text)
		}
		v.SetFloat(f)
	default:
		return fmt.Errorf("a value of type %s has no text form", v.Type())
	}
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil && n != 0 {
		return 0, fmt.Errorf("%q has no unit: write for example %sms or %ss", text, text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write for example 100ms, 5s or 1h30m", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("duration %q is negative", text)
	}
	return d, nil
}

// textOf is the inverse of setText.
func textOf(v reflect.Value) string {
	switch v.Type() {
	case durationType:
		return durationText(time.Duration(v.Int()))
	case byteSizeType:
		return ByteSize(v.Int()).String()
	}
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	default:
		return v.String()
	}
}

// durationText is d without the zero units that [time.Duration.String] appends: 10m instead of 10m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// nearest gives what the user probably meant by key: one of candidates, or "" when none is near.
func nearest(key string, candidates []string) string {
	best, bestDistance := "", max(2, len(key)/3)+1
	for _, candidate := range candidates {
		distance := editDistance(strings.ToLower(key), strings.ToLower(candidate))
		// "partition" for "partitions", "max" for "max_age".
		if distance >= bestDistance && len(key) >= 3 && strings.HasPrefix(candidate, key) {
			distance = bestDistance - 1
		}
		if distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}

// editDistance is the Levenshtein distance, with a swap of neighbours as one edit; long inputs are as far apart as can
// be.
func editDistance(a, b string) int {
	if len(a) > 200 || len(b) > 200 {
		return math.MaxInt
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// suggestion ends an error about an unknown name.
func suggestion(key, path string, siblings, everywhere []string) string {
	if near := nearest(key, siblings); near != "" {
		return fmt.Sprintf("did you mean %q?", join(path, near))
	}
	for _, full := range everywhere {
		if full == key || strings.HasSuffix(full, "."+key) {
			return fmt.Sprintf("did you mean %q?", full)
		}
	}
	sorted := slices.Clone(siblings)
	slices.Sort(sorted)
	return "known keys here: " + strings.Join(sorted, ", ")
}
