package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

const masked = "***"

// secretName matches keys of free-form sections whose values are masked.
var secretName = regexp.MustCompile(`(?i)password|passwd|secret|token|credential|authorization|api[_-]?key|access[_-]?key|_pem$|^auth$`)

// Print gives c as YAML in the order of the reference, with secrets masked: passwords in URLs, the values of all
// headers, and free-form keys whose names speak of secrets. Without masked values the output can be loaded again.
func (c *Config) Print() (string, error) {
	var out strings.Builder
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(nodeOf(reflect.ValueOf(c).Elem(), field{})); err != nil {
		return "", fmt.Errorf("print configuration: %w", err)
	}
	if err := encoder.Close(); err != nil {
		return "", fmt.Errorf("print configuration: %w", err)
	}
	return out.String(), nil
}

// nodeOf gives the YAML of v; nil for what is absent.
func nodeOf(v reflect.Value, f field) *yaml.Node {
	switch {
	case v.Type() == freeFormType:
		if v.IsNil() {
			return nil
		}
		return freeFormNode(v.Interface(), "")
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return nodeOf(v.Elem(), f)
	case v.Kind() == reflect.Struct:
		mapping := &yaml.Node{Kind: yaml.MappingNode}
		for _, f := range fieldsOf(v.Type()) {
			if len(f.kinds) > 0 {
				// Its keys are keys of this section.
				mapping.Content = append(mapping.Content, nodeOf(v.Field(f.index), f).Content...)
				continue
			}
			if value := nodeOf(v.Field(f.index), f); value != nil {
				mapping.Content = append(mapping.Content, stringNode(f.key), value)
			}
		}
		return mapping
	case v.Kind() == reflect.Map:
		mapping := &yaml.Node{Kind: yaml.MappingNode}
		keys := make([]string, 0, v.Len())
		for _, key := range v.MapKeys() {
			keys = append(keys, key.String())
		}
		slices.Sort(keys)
		for _, key := range keys {
			mapping.Content = append(mapping.Content, stringNode(key), nodeOf(v.MapIndex(reflect.ValueOf(key)), f))
		}
		return mapping
	case v.Kind() == reflect.Slice && v.IsNil() && f.absent:
		return nil
	case v.Kind() == reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			list.Content = append(list.Content, nodeOf(v.Index(i), f))
		}
		return list
	}
	text := textOf(v)
	if text != "" && f.secret == "url" {
		text = redactURL(text)
	}
	if v.Kind() == reflect.String {
		return stringNode(text)
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Value: text}
}

// stringNode is text that stays text: "true" and "80" are quoted.
func stringNode(text string) *yaml.Node {
	node := new(yaml.Node)
	node.SetString(text)
	return node
}

func freeFormNode(value any, key string) *yaml.Node {
	switch value := value.(type) {
	case map[string]any:
		mapping := &yaml.Node{Kind: yaml.MappingNode}
		keys := make([]string, 0, len(value))
		for name := range value {
			keys = append(keys, name)
		}
		slices.Sort(keys)
		for _, name := range keys {
			inside := name
			if strings.EqualFold(key, "headers") {
				inside = "secret" // Any header may be a credential.
			} else if secretName.MatchString(key) && name != "headers" {
				inside = key
			}
			mapping.Content = append(mapping.Content, stringNode(name), freeFormNode(value[name], inside))
		}
		return mapping
	case []any:
		list := &yaml.Node{Kind: yaml.SequenceNode}
		for _, element := range value {
			list.Content = append(list.Content, freeFormNode(element, key))
		}
		return list
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
	}
	if secretName.MatchString(key) {
		return stringNode(masked)
	}
	node := new(yaml.Node)
	if text, isText := value.(string); isText {
		node.SetString(redactURL(text))
	} else if err := node.Encode(value); err != nil {
		node.SetString(fmt.Sprint(value))
	}
	return node
}

var userInfo = regexp.MustCompile(`(^|,\s*|://)[^/?#,@\s]+@`)

// redactURL masks the user information of the URLs in text.
func redactURL(text string) string {
	if !strings.Contains(text, "@") {
		return text
	}
	return userInfo.ReplaceAllString(text, "${1}"+masked+"@")
}

// Inactive lists the keys that are set to something else than their default and have no effect in this version, sorted.
// Services log each once at start.
func (c *Config) Inactive() []string {
	var keys []string
	collectInactive(reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()).Elem(), "", &keys)
	slices.Sort(keys)
	return keys
}

func collectInactive(v, base reflect.Value, path string, keys *[]string) {
	for _, f := range fieldsOf(v.Type()) {
		value, at := v.Field(f.index), join(path, f.key)
		baseValue := base.Field(f.index)
		switch {
		case f.inactive:
			empty := (value.Kind() == reflect.Slice || value.Kind() == reflect.Map) && value.Len() == 0 && baseValue.Len() == 0
			if !empty && !reflect.DeepEqual(value.Interface(), baseValue.Interface()) {
				*keys = append(*keys, at)
			}
		case value.Kind() == reflect.Struct:
			collectInactive(value, baseValue, at, keys)
		case value.Kind() == reflect.Pointer && value.Type().Elem().Kind() == reflect.Struct && !value.IsNil():
			collectInactive(value.Elem(), reflect.New(value.Type().Elem()).Elem(), at, keys)
		case value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Struct:
			for i := range value.Len() {
				collectInactive(value.Index(i), reflect.New(value.Type().Elem()).Elem(), fmt.Sprintf("%s[%d]", at, i), keys)
			}
		}
	}
}
