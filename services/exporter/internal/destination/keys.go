package destination

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// unknownKeys reports keys of settings that the configuration struct does not have. The Collector does that itself for
// most of its components, but its HTTP client settings let mistakes pass (confighttp decodes itself ignoring what is
// not its own).
func unknownKeys(settings map[string]any, config reflect.Type, prefix string) error {
	known := map[string]reflect.Type{}
	collectKeys(config, known)
	if len(known) == 0 {
		return nil // A type that decodes itself, or a map.
	}
	if settled(config) != config && config.Kind() != reflect.Pointer {
		known["enabled"] = reflect.TypeFor[bool]() // Optional sections take it besides the keys of what they hold.
	}
	var mistakes []error
	for _, key := range slices.Sorted(maps.Keys(settings)) {
		field, found := known[key]
		if !found {
			mistakes = append(mistakes, fmt.Errorf("unknown key %q, known are: %s", prefix+key,
				strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
			continue
		}
		if nested, ok := settings[key].(map[string]any); ok {
			mistakes = append(mistakes, unknownKeys(nested, field, prefix+key+"."))
		}
	}
	return errors.Join(mistakes...)
}

// collectKeys adds the keys of a configuration struct, with the types of their values.
func collectKeys(t reflect.Type, known map[string]reflect.Type) {
	t = settled(t)
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		field := t.Field(i)
		name, options, _ := strings.Cut(field.Tag.Get("mapstructure"), ",")
		switch {
		case strings.Contains(options, "squash"):
			collectKeys(field.Type, known)
		case name != "" && name != "-":
			known[name] = field.Type
		}
	}
}

// settled follows pointers and the Collector's Optional to what they hold.
func settled(t reflect.Type) reflect.Type {
	for {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
			continue
		}
		if get, found := reflect.PointerTo(t).MethodByName("Get"); found && strings.HasPrefix(t.Name(), "Optional[") && get.Type.NumOut() == 1 {
			t = get.Type.Out(0)
			continue
		}
		return t
	}
}
