package metrics

import (
	"slices"

	"millrace.dev/lib/catalog"
)

// plan is what is measured of exchanges of one kind and side under one policy.
type plan struct {
	id uint32
	// fields that an attribute of some metric needs, each once. Their values make the key of a group of series.
	fields []*field
	meters []meter
	// edges: the service graph is measured.
	edges bool
}

// meter adds one quantity to one metric.
type meter struct {
	metric   *metric
	quantity quantity
	level    level
	// attributes are indices of the plan's fields, in the order of the attributes' names.
	attributes []int
}

// plan compiles what the enabled instruments measure of a kind and side; nil if that is nothing.
func (c *compiler) plan(p *policy, enabled []instrument, k kind, s side) *plan {
	made := &plan{id: c.plans}
	index := map[string]int{}
	for _, in := range enabled {
		if !slices.Contains(in.kinds, k) || in.sides&s == 0 {
			continue
		}
		m, found := catalog.ByName(in.metric)
		if !found {
			continue // A test checks that there are none.
		}
		meter := meter{quantity: in.quantity, level: c.level(m, p)}
		for _, candidate := range c.settings.metrics {
			if candidate.name == in.metric {
				meter.metric = candidate
			}
		}
		names := selection(m, c.config.Attributes.Select)
		slices.Sort(names)
		for _, name := range names {
			f := fieldNamed[name]
			if f == nil {
				if f = c.settings.attributeField(name); f == nil {
					continue
				}
			}
			i, found := index[name]
			if !found {
				i = len(made.fields)
				index[name] = i
				made.fields = append(made.fields, f)
			}
			meter.attributes = append(meter.attributes, i)
		}
		made.meters = append(made.meters, meter)
		made.edges = made.edges || in.quantity >= edgeOne
	}
	if len(made.meters) == 0 {
		return nil
	}
	c.plans++
	return made
}
