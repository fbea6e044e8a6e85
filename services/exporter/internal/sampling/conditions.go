package sampling

import (
	"bytes"
	"fmt"
	"regexp"

	"millrace.dev/lib/wire"
)

// conditions are all that policies ask about attributes and tracestates, each with a number.
type conditions struct {
	byKey map[string][]condition
	// lengths has a bit for the length of each key, modulo 64: it spares most attributes the look-up, and the reading
	// of their values.
	lengths     uint64
	tracestates []stateCondition
	spans       []spanCondition
	services    []serviceCondition
	// memories are the sizes of the memories of regular expressions.
	memories []int
	count    int
}

// condition on the value of an attribute of a span or a resource.
type condition struct {
	index   int
	matches func(v *value, m memory) bool
}

// stateCondition on an entry of a tracestate.
type stateCondition struct {
	index  int
	key    string
	values map[string]struct{}
}

// spanCondition on a whole span.
type spanCondition struct {
	index   int
	matches func(s *span) bool
}

// serviceCondition on a resource: service.name, and service.namespace unless that is empty.
type serviceCondition struct {
	index           int
	name, namespace string
}

func (c *serviceCondition) is(name, namespace string) bool {
	return c.name == name && c.namespace == namespace
}

// service notes the conditions that a well-formed encoded resource meets as a whole.
func (c *conditions) service(resource []byte, h *hits) {
	if len(c.services) == 0 {
		return
	}
	var f wire.Field
	var name, namespace string
	for len(resource) > 0 {
		rest, ok := f.Next(resource)
		if !ok {
			return
		}
		resource = rest
		if f.ID != 1 || f.Type != wire.Length {
			continue
		}
		switch key, v, _ := readAttribute(f.Bytes); string(key) {
		case "service.name":
			name = string(v.text)
		case "service.namespace":
			namespace = string(v.text)
		}
	}
	for i := range c.services {
		s := &c.services[i]
		if s.is(name, namespace) || s.is(name, "") {
			h.add(s.index)
		}
	}
}

func (c *conditions) next() (int, error) {
	if c.count == maxConditions {
		return 0, fmt.Errorf("more than %d conditions on attributes: regular expressions may join several values in one", maxConditions)
	}
	c.count++
	return c.count - 1, nil
}

// add makes a condition on attributes of that key.
func (c *conditions) add(key string, matches func(v *value, m memory) bool) (int, error) {
	index, err := c.next()
	if err != nil {
		return 0, err
	}
	c.lengths |= 1 << (len(key) % 64)
	c.byKey[key] = append(c.byKey[key], condition{index, matches})
	return index, nil
}

// attribute notes the conditions that an encoded attribute meets. s is nil for resources.
func (c *conditions) attribute(message []byte, h *hits, m memory, s *span) (ok bool) {
	// Encoders put the key first; then its length alone decides about most.
	if len(message) > 1 && message[0] == 1<<3|2 && message[1] < 0x80 && c.lengths&(1<<(message[1]%64)) == 0 {
		return true
	}
	key, v, ok := readAttribute(message)
	if !ok {
		return false
	}
	for _, condition := range c.byKey[string(key)] {
		if condition.matches(&v, m) {
			h.add(condition.index)
		}
	}
	if s != nil && len(c.spans) > 0 && string(key) == networkDuration {
		if seconds, ok := v.float(); ok {
			s.networkSeconds = seconds
		}
	}
	return true
}

// tracestate notes the conditions that a tracestate meets: entries "key=value", separated by commas
// (https://www.w3.org/TR/trace-context/#tracestate-header).
func (c *conditions) tracestate(state []byte, h *hits) {
	if len(c.tracestates) == 0 {
		return
	}
	for entry := range bytes.SplitSeq(state, []byte(",")) {
		key, v, found := bytes.Cut(bytes.Trim(entry, " \t"), []byte("="))
		if !found {
			continue
		}
		for i := range c.tracestates {
			t := &c.tracestates[i]
			if string(key) != t.key {
				continue
			}
			if _, found := t.values[string(v)]; found {
				h.add(t.index)
			}
		}
	}
}

// memory has the results of regular expressions, of one partition.
type memory []results

// results of regular expressions by value.
type results struct {
	size  int
	known map[string]bool
}

// maxRemembered bounds the texts that are remembered, in bytes.
const maxRemembered = 1024

func (c *conditions) newMemory() memory {
	m := make(memory, len(c.memories))
	for i, size := range c.memories {
		m[i] = results{size: size, known: map[string]bool{}}
	}
	return m
}

// match reports whether one of the expressions matches.
func (r *results) match(expressions []*regexp.Regexp, text []byte) bool {
	if matches, found := r.known[string(text)]; found {
		return matches
	}
	matches := false
	for _, expression := range expressions {
		if matches = expression.Match(text); matches {
			break
		}
	}
	if len(text) <= maxRemembered {
		if len(r.known) >= r.size {
			clear(r.known) // Cheaper than knowing which was used last; those in use are back soon.
		}
		r.known[string(text)] = matches
	}
	return matches
}

// set makes a set of texts; empty ones match nothing.
func set(values []string) map[string]struct{} {
	s := make(map[string]struct{}, len(values))
	for _, v := range values {
		if v != "" {
			s[v] = struct{}{}
		}
	}
	return s
}
