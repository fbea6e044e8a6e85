package selection

import (
	"path"
	"strings"

	"millrace.dev/lib/config"
)

// Filter is what one destination gets. It remembers what it has decided: it is not safe for concurrent use, and every
// reader has its own. A nil Filter lets everything through.
type Filter struct {
	services, namespaces, metrics               names
	spanAttributes, metricAttributes, resources names
}

// New makes a filter; nil when nothing is left out.
func New(filter config.ExportFilter, attributes config.ExportAttributes) *Filter {
	f := &Filter{
		services: newNames(filter.Services, exactly), namespaces: newNames(filter.Namespaces, exactly),
		metrics: newNames(filter.Metrics, underscored), spanAttributes: newNames(attributes.Spans, underscored),
		metricAttributes: newNames(attributes.Metrics, underscored), resources: newNames(attributes.Resource, underscored),
	}
	for _, n := range []*names{&f.services, &f.namespaces, &f.metrics, &f.spanAttributes, &f.metricAttributes, &f.resources} {
		if !n.all() {
			return f
		}
	}
	return nil
}

// Service reports whether the destination gets anything of a service.
func (f *Filter) Service(namespace, name string) bool {
	return f == nil || f.services.match(name) && f.namespaces.match(namespace)
}

// Metric reports whether the destination gets a metric.
func (f *Filter) Metric(name string) bool { return f == nil || f.metrics.match(name) }

// SpanAttribute reports whether spans have an attribute.
func (f *Filter) SpanAttribute(key string) bool { return f == nil || f.spanAttributes.match(key) }

// MetricAttribute reports whether series have an attribute.
func (f *Filter) MetricAttribute(key string) bool { return f == nil || f.metricAttributes.match(key) }

// ResourceAttribute reports whether resources have an attribute. The service's name and namespace stay: they say whose
// the data is, and the series of different services must not become one.
func (f *Filter) ResourceAttribute(key string) bool {
	return f == nil || key == "service.name" || key == "service.namespace" || f.resources.match(key)
}

// AllSpanAttributes reports whether spans and their resources keep all they have.
func (f *Filter) AllSpanAttributes() bool {
	return f == nil || f.spanAttributes.all() && f.resources.all()
}

// maxDecisions bounds the names that are remembered.
const maxDecisions = 4096

// names chooses names by globs.
type names struct {
	include, exclude []string
	spelling         *strings.Replacer
	decided          map[string]bool
}

// Spellings of globs and names. A slash is an ordinary character: names are no paths, and "*" is for all of a name.
// Metrics and attributes may be written with dots or with underscores.
var (
	exactly     = strings.NewReplacer("/", "\x00")
	underscored = strings.NewReplacer("/", "\x00", ".", "_")
)

func newNames(globs config.Globs, spelling *strings.Replacer) names {
	n := names{spelling: spelling, decided: map[string]bool{}}
	for _, glob := range globs.Include {
		n.include = append(n.include, spelling.Replace(glob))
	}
	for _, glob := range globs.Exclude {
		n.exclude = append(n.exclude, spelling.Replace(glob))
	}
	return n
}

func (n *names) all() bool { return len(n.include) == 0 && len(n.exclude) == 0 }

func (n *names) match(name string) bool {
	if n.all() {
		return true
	}
	matches, found := n.decided[name]
	if !found {
		spelt := n.spelling.Replace(name)
		matches = (len(n.include) == 0 || anyOf(n.include, spelt)) && !anyOf(n.exclude, spelt)
		if len(n.decided) >= maxDecisions {
			clear(n.decided)
		}
		n.decided[strings.Clone(name)] = matches
	}
	return matches
}

// anyOf reports whether a glob matches a name. Globs that are none were refused with the configuration.
func anyOf(globs []string, name string) bool {
	for _, glob := range globs {
		if ok, err := path.Match(glob, name); ok && err == nil {
			return true
		}
	}
	return false
}
