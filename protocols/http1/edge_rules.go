package http1

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"millrace.dev/protocols/edge"
)

// What is known of the name of a query parameter.
const (
	parameterUnknown uint8 = iota
	parameterBlanked
	parameterKept
	parameterNamed // its name is shown, its value as that of any other
)

// rules are the compiled settings, and what the scanners of all connections share. One goroutine uses them.
type rules struct {
	enable     bool
	headers    edge.Names // headerKind by name
	parameters edge.Names
	pathNames  edge.Names

	out     *edge.Writer // of the call of Scan or Tail
	changed bool         // blank was called for bytes since it was set to false
	plain   [headerKinds]screenedValue
	// layered judges values of headers that layers need: of kind headerLayered and those that follow.
	layered []func(value []byte, blank func([]byte))
	mask    func([]byte) // blank
	bodies  []*edge.LayerBody
}

func newRules(settings *edge.Rules) (*rules, error) {
	r := &rules{enable: settings.Enable}
	r.mask = r.blank
	// Of a name that is added twice, the first meaning holds: what is to be blanked is never kept.
	for _, list := range []struct {
		key     string
		names   []string
		table   *edge.Names
		meaning uint8
	}{
		{"headers", settings.Headers, &r.headers, uint8(headerBlanked)},
		{"", nil, nil, 0}, // what layers need
		{"", credentialHeaders, &r.headers, uint8(headerBlanked)},
		{"", slices.Sorted(maps.Keys(usedHeaders)), &r.headers, 0},
		{"allow_headers", settings.AllowHeaders, &r.headers, uint8(headerKept)},
		{"", commonHeaders, &r.headers, uint8(headerBlanked)},
		{"query_parameters", settings.QueryParameters, &r.parameters, parameterBlanked},
		{"", credentialParameters, &r.parameters, parameterBlanked},
		{"allow_query_parameters", settings.AllowQueryParameters, &r.parameters, parameterKept},
		{"", plainParameters, &r.parameters, parameterKept},
		{"", namedParameters(settings.Layers), &r.parameters, parameterNamed},
		{"", credentialSegments, &r.pathNames, 1},
	} {
		if list.table == nil {
			if err := r.addLayers(settings.Layers); err != nil {
				return nil, err
			}
			continue
		}
		for _, name := range list.names {
			meaning := list.meaning
			if meaning == 0 {
				meaning = uint8(usedHeaders[name])
			}
			if err := list.table.Add(name, meaning); err != nil {
				return nil, fmt.Errorf("%s: %w", list.key, err)
			}
		}
	}
	return r, nil
}

// addLayers adds the headers and words that layers need.
func (r *rules) addLayers(layers []*edge.Layer) error {
	for _, layer := range layers {
		if layer.Body != nil && len(r.bodies) < 32 {
			r.bodies = append(r.bodies, layer.Body)
		}
		for _, h := range layer.Headers {
			meaning := headerBlanked
			if h.Screen != nil {
				if len(r.layered) == edge.MaxLayered {
					return errors.New("layers need too many headers")
				}
				meaning = headerLayered + headerKind(len(r.layered))
				r.layered = append(r.layered, h.Screen)
			}
			if err := r.headers.Add(h.Name, uint8(meaning)); err != nil {
				return err
			}
		}
		for _, name := range layer.Words {
			if err := r.parameters.Add(name, parameterKept); err != nil {
				return err
			}
		}
	}
	return nil
}

func namedParameters(layers []*edge.Layer) (names []string) {
	for _, layer := range layers {
		names = append(names, layer.Parameters...)
	}
	return names
}

// header says what happens to the value of a header.
func (r *rules) header(name []byte) headerKind { return headerKind(r.headers.Find(name)) }

// blank overwrites b, if the settings say so.
func (r *rules) blank(b []byte) {
	if r.enable && len(b) > 0 {
		r.out.Mask(b)
		r.changed = true
	}
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// equalFold compares b with want, which is in lower case, as ASCII.
func equalFold(b []byte, want string) bool {
	if len(b) != len(want) {
		return false
	}
	for i := range b {
		if lower(b[i]) != want[i] {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }
