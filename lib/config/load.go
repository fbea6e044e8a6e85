package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	// maxFileBytes bounds the file: anything larger is not a configuration.
	maxFileBytes = 4 << 20
	// maxErrors bounds what one wrong file reports.
	maxErrors = 20
	// maxDepth bounds nesting, merge keys and aliases included.
	maxDepth = 64
	// maxNodes bounds what aliases and merge keys can blow a small file up to.
	maxNodes = 100_000
)

// Load reads the configuration: defaults, then the file at path (none when path is empty), then environ, which has the
// form of [os.Environ]. Variables with the prefix MILLRACE_ override keys: MILLRACE_BUS_URL is bus.url, lists are
// separated by commas, and an empty variable counts as absent. Unknown keys and unknown variables are errors that name
// the nearest one. The result is valid.
//
// All errors that were found are reported, each on a line of its own.
func Load(path string, environ []string) (*Config, error) {
	cfg := Default()
	if path != "" {
		text, err := readFile(path)
		if err != nil {
			return nil, err
		}
		if err := cfg.decode(path, text); err != nil {
			return nil, err
		}
	}
	if err := cfg.override(environ); err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		if path != "" {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return nil, err
	}
	return cfg, nil
}

// Parse is [Load] from memory and without environment; name stands for the file in errors.
func Parse(name string, text []byte) (*Config, error) {
	cfg := Default()
	if err := cfg.decode(name, text); err != nil {
		return nil, err
	}
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cfg, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	defer func() { _ = file.Close() }() // Only read.
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("configuration: %s has more than %s", path, ByteSize(maxFileBytes))
	}
	return text, nil
}

// decode reads text over what c has.
func (c *Config) decode(name string, text []byte) error {
	documents, err := parseDocuments(text)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(documents) == 0 || len(documents[0].Content) == 0 {
		return nil
	}
	d := decoder{file: name}
	if len(documents) > 1 {
		d.fail(documents[1], "a second document: the configuration is one")
	}
	d.value(documents[0].Content[0], reflect.ValueOf(c).Elem(), "", 0)
	return errors.Join(d.errs...)
}

func parseDocuments(text []byte) ([]*yaml.Node, error) {
	loader, err := yaml.NewLoader(strings.NewReader(string(text)))
	if err != nil {
		return nil, err
	}
	var documents []*yaml.Node
	for len(documents) < 2 {
		document := new(yaml.Node)
		err := loader.Load(document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// decoder puts YAML nodes into Go values, and collects what is wrong.
type decoder struct {
	file  string
	nodes int // visited
	errs  []error
}

func (d *decoder) fail(node *yaml.Node, format string, args ...any) {
	switch {
	case len(d.errs) < maxErrors:
		d.errs = append(d.errs, fmt.Errorf("%s:%d: %s", d.file, node.Line, fmt.Sprintf(format, args...)))
	case len(d.errs) == maxErrors:
		d.errs = append(d.errs, errors.New("and more"))
	}
}

func (d *decoder) value(node *yaml.Node, v reflect.Value, path string, depth int) {
	if d.nodes++; depth > maxDepth || d.nodes > maxNodes {
		d.fail(node, "%s: nested too deep, or too many aliases", orTop(path))
		return
	}
	if node.Kind == yaml.AliasNode {
		d.value(node.Alias, v, path, depth+1)
		return
	}
	null := node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
	t := v.Type()
	switch {
	case t == freeFormType:
		d.freeForm(node, v, path, null)
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(t.Elem()))
		}
		d.value(node, v.Elem(), path, depth+1)
	case null: // A key without a value, as when everything below it is a comment, is not set.
	case t.Kind() == reflect.Struct:
		if alone := aloneField(t); alone >= 0 && node.Kind == yaml.ScalarNode {
			d.value(node, v.Field(alone), path, depth+1)
			return
		}
		if node.Kind != yaml.MappingNode {
			d.fail(node, "%s: want keys and values below it: %s", orTop(path), strings.Join(keysOf(t), ", "))
			return
		}
		d.mapping(node, v, path, depth)
	case t.Kind() == reflect.Map:
		d.namedMap(node, v, path, depth)
	case t.Kind() == reflect.Slice:
		d.list(node, v, path, depth)
	default:
		if node.Kind != yaml.ScalarNode {
			d.fail(node, "%s: want a single value", path)
			return
		}
		if err := setText(v, node.Value); err != nil {
			d.fail(node, "%s: %v", path, err)
		}
	}
}

// aloneField is the index of the field whose value may stand in the place of the section, -1 if there is none.
func aloneField(t reflect.Type) int {
	for _, f := range fieldsOf(t) {
		if f.alone {
			return f.index
		}
	}
	return -1
}

func orTop(path string) string {
	if path == "" {
		return "configuration"
	}
	return path
}

// freeForm is a section that another module checks. A key without a value is an empty section, as in the OpenTelemetry
// Collector.
func (d *decoder) freeForm(node *yaml.Node, v reflect.Value, path string, null bool) {
	if null {
		v.Set(reflect.ValueOf(map[string]any{}))
		return
	}
	if node.Kind != yaml.MappingNode {
		d.fail(node, "%s: want keys and values below it", path)
		return
	}
	section := map[string]any{}
	if err := node.Decode(&section); err != nil {
		d.fail(node, "%s: %v", path, err)
		return
	}
	v.Set(reflect.ValueOf(section))
}

func (d *decoder) mapping(node *yaml.Node, v reflect.Value, path string, depth int) {
	fields := fieldsOf(v.Type())
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.ShortTag() == "!!merge" {
			// First, so that the mapping's own keys win, wherever the merge stands.
			d.merge(value, v, path, depth)
		}
	}
next:
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.ShortTag() == "!!merge" {
			continue
		}
		if seen[key.Value] {
			d.fail(key, "%s is set twice", join(path, key.Value))
			continue
		}
		seen[key.Value] = true
		for _, f := range fields {
			if f.key == key.Value && key.Kind == yaml.ScalarNode {
				d.value(value, v.Field(f.index), join(path, f.key), depth+1)
				continue next
			}
			if f.takes(key.Value) && key.Kind == yaml.ScalarNode {
				d.instance(key, value, v.Field(f.index), path)
				continue next
			}
		}
		d.fail(key, "unknown key %q: %s", join(path, clip(key.Value)), suggestion(key.Value, path, keysOf(v.Type()), allPaths()))
	}
}

// instance is a section of a kind and a name.
func (d *decoder) instance(key, node *yaml.Node, v reflect.Value, path string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	section := reflect.New(freeFormType).Elem()
	d.freeForm(node, section, join(path, key.Value), node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null")
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	v.SetMapIndex(reflect.ValueOf(key.Value), section)
}

func (d *decoder) merge(node *yaml.Node, v reflect.Value, path string, depth int) {
	if node.Kind == yaml.SequenceNode {
		// The first of several has precedence.
		for i := len(node.Content) - 1; i >= 0; i-- {
			d.value(node.Content[i], v, path, depth+1)
		}
		return
	}
	d.value(node, v, path, depth+1)
}

// namedMap is a mapping whose keys are the user's names.
func (d *decoder) namedMap(node *yaml.Node, v reflect.Value, path string, depth int) {
	if node.Kind != yaml.MappingNode {
		d.fail(node, "%s: want names and values below it", path)
		return
	}
	out := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			d.fail(key, "%s: a name must be plain text", path)
			continue
		}
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(node.Content[i+1], element, join(path, clip(key.Value)), depth+1)
		out.SetMapIndex(reflect.ValueOf(key.Value), element)
	}
	v.Set(out)
}

func (d *decoder) list(node *yaml.Node, v reflect.Value, path string, depth int) {
	if node.Kind != yaml.SequenceNode {
		d.fail(node, "%s: want a list", path)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, element := range node.Content {
		d.value(element, out.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
	v.Set(out)
}

// clip keeps errors readable whatever was in the file.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
