package destination

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"go.opentelemetry.io/collector/confmap"

	"millrace.dev/lib/config"
	"millrace.dev/services/exporter/internal/selection"
)

// Routing is what a destination gets, and how.
type Routing struct {
	// Traces and Metrics say which signals.
	Traces, Metrics bool
	// Delta says that points have what was gained since the last one, instead of since the series began.
	Delta bool

	filter     config.ExportFilter
	attributes config.ExportAttributes
}

// NewFilter makes a filter of what the destination gets; nil when it gets everything. Each reader has its own.
func (r *Routing) NewFilter() *selection.Filter { return selection.New(r.filter, r.attributes) }

// routingKeys are our keys beside those of the Collector's component.
type routingKeys struct {
	Signals     []string                `mapstructure:"signals"`
	Temporality string                  `mapstructure:"temporality"`
	Filter      config.ExportFilter     `mapstructure:"filter"`
	Attributes  config.ExportAttributes `mapstructure:"attributes"`
}

// takeRouting takes our keys out of the settings of a component.
func takeRouting(settings map[string]any) (Routing, error) {
	ours := map[string]any{}
	for _, key := range []string{"signals", "temporality", "filter", "attributes"} {
		if value, found := settings[key]; found {
			ours[key] = value
			delete(settings, key)
		}
	}
	var keys routingKeys
	if err := confmap.NewFromStringMap(ours).Unmarshal(&keys); err != nil {
		return Routing{}, err
	}
	return newRouting(keys)
}

// newRouting checks what the configuration's own loader has not.
func newRouting(keys routingKeys) (Routing, error) {
	r := Routing{filter: keys.Filter, attributes: keys.Attributes}
	var mistakes []error
	if len(keys.Signals) == 0 {
		r.Traces, r.Metrics = true, true
	}
	for _, signal := range keys.Signals {
		switch signal {
		case "traces":
			r.Traces = true
		case "metrics":
			r.Metrics = true
		default:
			mistakes = append(mistakes, fmt.Errorf("signals: %q is none of traces, metrics", signal))
		}
	}
	switch keys.Temporality {
	case "", "cumulative":
	case "delta":
		r.Delta = true
	default:
		mistakes = append(mistakes, fmt.Errorf("temporality: %q is none of cumulative, delta", keys.Temporality))
	}
	sections := map[string]config.Globs{
		"filter.services": keys.Filter.Services, "filter.namespaces": keys.Filter.Namespaces, "filter.metrics": keys.Filter.Metrics,
		"attributes.spans": keys.Attributes.Spans, "attributes.metrics": keys.Attributes.Metrics, "attributes.resource": keys.Attributes.Resource,
	}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for _, glob := range slices.Concat(sections[section].Include, sections[section].Exclude) {
			if _, err := path.Match(glob, ""); err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s: %q is not a glob: %w", section, glob, err))
			}
		}
	}
	return r, errors.Join(mistakes...)
}
