package scrape

import (
	"strings"
	"unicode/utf8"

	"millrace.dev/lib/catalog"
	"millrace.dev/services/exporter/internal/series"
)

// describe gives the name of a metric for Prometheus, without the suffixes of histograms, and what it is.
func describe(m *series.Metric) (name, help string) {
	if known, found := catalog.ByName(m.Name); found {
		return known.Prometheus, known.Description
	}
	// A newer enricher may send what this version does not know.
	name = sanitize(m.Name)
	switch m.Unit {
	case catalog.Seconds:
		name = withSuffix(name, "_seconds")
	case catalog.Bytes:
		name = withSuffix(name, "_bytes")
	}
	if m.Kind == catalog.Counter {
		name = withSuffix(name, "_total")
	}
	return name, m.Name
}

func withSuffix(name, suffix string) string { return strings.TrimSuffix(name, suffix) + suffix }

// sanitize makes a name of letters, digits and underscores, which does not begin with a digit.
func sanitize(name string) string {
	b := []byte(name)
	for i, c := range b {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			b[i] = '_'
		}
	}
	if len(b) == 0 || b[0] >= '0' && b[0] <= '9' {
		return "_" + string(b)
	}
	return string(b)
}

// label is a label of a series.
type label struct{ name, value string }

// labels makes labels of attributes. It is not safe for concurrent use.
type labels struct {
	names      map[string]string
	attributes []series.Attribute
	// base are the labels of the resource at hand.
	base []label
	all  []label
}

// maxNames bounds the names of attributes that are remembered.
const maxNames = 10000

func (l *labels) name(key string) string {
	name, found := l.names[key]
	if !found {
		if len(l.names) >= maxNames || l.names == nil {
			l.names = map[string]string{}
		}
		name = sanitize(key)
		l.names[key] = name
	}
	return name
}

// resource begins with the labels that the series of a resource have: who it is about, so that its identity does not
// depend on who serves it. Infos have all attributes of the resource.
func (l *labels) resource(s *series.Store, r *series.Resource, info bool) {
	l.attributes = s.AppendResource(l.attributes[:0], r)
	var namespace, service, instance, host string
	for _, a := range l.attributes {
		switch a.Key {
		case "service.namespace":
			namespace = a.Value.String()
		case "service.name":
			service = a.Value.String()
		case "service.instance.id":
			instance = a.Value.String()
		case "host.name":
			host = a.Value.String()
		}
	}
	job := service
	if namespace != "" {
		job = namespace + "/" + service
	}
	switch {
	case instance != "":
	case host != "":
		instance = host
	default:
		instance = service
	}
	l.base = append(l.base[:0], label{"job", job}, label{"instance", instance}, label{"service_name", service})
	if namespace != "" {
		l.base = append(l.base, label{"service_namespace", namespace})
	}
	for _, a := range l.attributes {
		switch a.Key {
		case "service.namespace", "service.name":
		case "service.instance.id":
			if info {
				l.base = l.add(l.base, a)
			}
		default: // host.name, process.pid, and whatever an info says.
			l.base = l.add(l.base, a)
		}
	}
}

// of gives the labels of a series of the resource at hand. They are valid until the next call.
func (l *labels) of(s *series.Store, x *series.Series) []label {
	l.all = append(l.all[:0], l.base...)
	l.attributes = s.AppendAttributes(l.attributes[:0], x)
	for _, a := range l.attributes {
		l.all = l.add(l.all, a)
	}
	return l.all
}

// add adds an attribute. One whose label is there already gets a name of its own, as Prometheus does it with labels of
// targets, unless it says the same.
func (l *labels) add(to []label, a series.Attribute) []label {
	name, value := l.name(a.Key), a.Value.String()
	if !utf8.ValidString(value) {
		value = strings.ToValidUTF8(value, "\uFFFD")
	}
	for taken(to, name) {
		for i := range to {
			if to[i].name == name && to[i].value == value {
				return to
			}
		}
		name = "exported_" + name
	}
	return append(to, label{name, value})
}

// taken reports whether a label of that name is there, or is the format's own.
func taken(labels []label, name string) bool {
	if name == "le" || name == "quantile" {
		return true
	}
	for i := range labels {
		if labels[i].name == name {
			return true
		}
	}
	return false
}
