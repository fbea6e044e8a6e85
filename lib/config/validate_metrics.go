package config

import (
	"maps"
	"math"
	"slices"
	"strings"

	"millrace.dev/lib/catalog"
)

func (v *validator) metrics(m Metrics, selections map[string]AttributeSelection) {
	v.bounds("metrics.buckets.duration_histogram", m.Buckets.DurationHistogram)
	v.bounds("metrics.buckets.request_size_histogram", m.Buckets.RequestSizeHistogram)
	v.bounds("metrics.buckets.response_size_histogram", m.Buckets.ResponseSizeHistogram)
	for _, name := range slices.Sorted(maps.Keys(selections)) {
		at := join("attributes.select", clip(name))
		v.globs(at, []string{name})
		v.globs(join(at, "include"), selections[name].Include)
		v.globs(join(at, "exclude"), selections[name].Exclude)
	}
}

// maxBounds is more than any histogram can use.
const maxBounds = 200

func (v *validator) bounds(at string, bounds []float64) {
	if len(bounds) > maxBounds {
		v.fail(at, "%d bounds are too many, the most is %d", len(bounds), maxBounds)
	}
	for i, bound := range bounds {
		if bound < 0 || bound > 1e9 || math.IsNaN(bound) {
			v.fail(at, "%v is outside of 0..1e9", bound)
			return
		}
		if i > 0 && bound <= bounds[i-1] {
			v.fail(at, "bounds must ascend, and %v follows %v", bound, bounds[i-1])
			return
		}
	}
}

// patterns of paths: absolute, with ":name", "{name}" or "*" for a segment, "*" at the end for all that follow.
func (v *validator) patterns(at string, patterns []string) {
	for _, pattern := range patterns {
		if !strings.HasPrefix(pattern, "/") {
			v.fail(at, "%q does not begin with \"/\"", clip(pattern))
			continue
		}
		for _, segment := range strings.Split(pattern, "/") {
			if opened := strings.HasPrefix(segment, "{"); opened != strings.HasSuffix(segment, "}") {
				v.fail(at, "%q: a brace in segment %q is not closed or not opened", clip(pattern), clip(segment))
			}
		}
	}
}

// Unmatched lists what attributes.select names and no metric has, each with what was probably meant: a mistake in a
// name, or a name that other agents know. Services log it once at start.
func (c *Config) Unmatched() []string {
	var unmatched []string
	for _, name := range slices.Sorted(maps.Keys(c.Attributes.Select)) {
		unmatched = append(unmatched, unmatchedSelection(name, c.Attributes.Select[name])...)
	}
	return unmatched
}

func unmatchedSelection(metric string, s AttributeSelection) []string {
	at := join("attributes.select", clip(metric))
	var metrics, attributes []string
	known := false
	for i := range catalog.All() {
		m := &catalog.All()[i]
		metrics = append(metrics, m.Name)
		if m.Named(metric) {
			known = true
			attributes = slices.Concat(attributes, m.Attributes, m.Optional)
		}
	}
	if !known {
		return []string{at + ": no such metric: " + suggestion(metric, "", metrics, nil)}
	}
	slices.Sort(attributes)
	attributes = slices.Compact(attributes)
	var unmatched []string
	for _, glob := range slices.Concat(s.Include, s.Exclude) {
		// A whole name may be that of any attribute of a protocol, but not one that is a letter away from a known one.
		if catalog.IsName(glob) && !slices.ContainsFunc(attributes, func(name string) bool { return editDistance(glob, name) == 1 }) {
			continue
		}
		if !slices.ContainsFunc(attributes, func(name string) bool { return catalog.Matches([]string{glob}, name) }) {
			unmatched = append(unmatched, at+": no such attribute "+clip(glob)+": "+suggestion(glob, "", attributes, nil))
		}
	}
	return unmatched
}
