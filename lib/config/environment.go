package config

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	envPrefix = "MILLRACE_"
	// EnvConfig is the variable with the path of the configuration file, for commands that are started without
	// --config.
	EnvConfig = "MILLRACE_CONFIG"
)

// serviceLink matches the variables that Kubernetes sets in every pod for each Service of its namespace (and Docker for
// links). A Service called millrace-nats makes MILLRACE_NATS_SERVICE_HOST, which is nobody's mistake.
var serviceLink = regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// variable is an environment variable that overrides a key.
type variable struct {
	name string
	path string
	// get gives the key's place in a configuration, making optional sections on the way.
	get func(root reflect.Value) reflect.Value
}

// EnvironmentName is the variable that overrides the key at path, for example MILLRACE_BUS_URL for bus.url.
func EnvironmentName(path string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// variables of t: every scalar, list of scalars and free-form section that has a path of its own.
func variables(t reflect.Type, path string, get func(reflect.Value) reflect.Value) []variable {
	var out []variable
	for _, f := range fieldsOf(t) {
		ft, at := t.Field(f.index).Type, join(path, f.key)
		here := func(root reflect.Value) reflect.Value { return get(root).Field(f.index) }
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
			pointer := here
			here = func(root reflect.Value) reflect.Value {
				p := pointer(root)
				if p.IsNil() {
					p.Set(reflect.New(p.Type().Elem()))
				}
				return p.Elem()
			}
		}
		switch {
		case ft.Kind() == reflect.Struct:
			out = append(out, variables(ft, at, here)...)
		case isScalar(ft), ft == freeFormType, ft.Kind() == reflect.Slice && isScalar(ft.Elem()):
			out = append(out, variable{name: EnvironmentName(at), path: at, get: here})
		}
	}
	return out
}

func allVariables() []variable {
	return variables(reflect.TypeFor[Config](), "", func(root reflect.Value) reflect.Value { return root })
}

// allPaths are the keys of the configuration that have a path of their own.
func allPaths() []string {
	var paths []string
	for _, v := range allVariables() {
		paths = append(paths, v.path)
	}
	return paths
}

// override applies environment variables.
func (c *Config) override(environ []string) error {
	known := allVariables()
	names := make([]string, 0, len(known))
	for _, v := range known {
		names = append(names, v.name)
	}
	var errs []error
	environ = slices.Sorted(slices.Values(environ)) // Errors come in a fixed order.
	for _, entry := range environ {
		name, value, found := strings.Cut(entry, "=")
		if !found || !strings.HasPrefix(name, envPrefix) || name == EnvConfig || value == "" {
			continue
		}
		if err := c.overrideOne(known, names, name, value); err != nil && len(errs) < maxErrors {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (c *Config) overrideOne(known []variable, names []string, name, value string) error {
	root := reflect.ValueOf(c).Elem()
	for _, v := range known {
		if free := v.get(reflect.New(root.Type()).Elem()).Type() == freeFormType; free {
			if key, found := strings.CutPrefix(name, v.name+"_"); found && key != "" {
				return setFreeForm(v.get(root), name, strings.ToLower(key), value)
			}
			continue
		}
		if v.name != name {
			continue
		}
		if err := setList(v.get(root), value); err != nil {
			return fmt.Errorf("environment variable %s: %w", name, err)
		}
		return nil
	}
	if serviceLink.MatchString(name) {
		return nil
	}
	if near := nearest(name, names); near != "" {
		return fmt.Errorf("unknown environment variable %s: did you mean %s?", clip(name), near)
	}
	return fmt.Errorf("unknown environment variable %s: names are %s and a key of the configuration, for example %s",
		clip(name), envPrefix, EnvironmentName("bus.url"))
}

// setList sets a scalar or a list of scalars.
func setList(v reflect.Value, text string) error {
	if v.Kind() != reflect.Slice {
		return setText(v, text)
	}
	parts := strings.Split(text, ",")
	out := reflect.MakeSlice(v.Type(), len(parts), len(parts))
	for i, part := range parts {
		if err := setText(out.Index(i), strings.TrimSpace(part)); err != nil {
			return err
		}
	}
	v.Set(out)
	return nil
}

// setFreeForm sets a key of a section that another module checks. Two underscores stand for one level:
// MILLRACE_EXPORTERS_OTLP_ENDPOINT is exporters.otlp.endpoint, MILLRACE_EXPORTERS_OTLP_TLS__INSECURE is
// exporters.otlp.tls.insecure. The value is read as YAML.
func setFreeForm(v reflect.Value, name, key, text string) error {
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		value = text // For example a header whose value begins with '*'.
	}
	if v.IsNil() {
		v.Set(reflect.ValueOf(map[string]any{}))
	}
	section := v.Interface().(map[string]any)
	levels := strings.Split(key, "__")
	for _, level := range levels[:len(levels)-1] {
		below, ok := section[level].(map[string]any)
		if !ok {
			if section[level] != nil {
				return fmt.Errorf("environment variable %s: %s is not a section", name, level)
			}
			below = map[string]any{}
			section[level] = below
		}
		section = below
	}
	section[levels[len(levels)-1]] = value
	return nil
}
