package config

import (
	"embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:generate go run ./internal/reference ../../docs/configuration.md

// source holds the files with the structs whose comments are the documentation of their keys.
//
//go:embed config.go discovery.go network.go sampling.go sections.go
var source embed.FS

const referenceHead = `# Configuration

<!-- Generated from the comments in lib/config by "go generate ./config" in lib. Do not edit. -->

Every service reads one YAML file, given with ` + "`--config`" + ` or in ` + "`" + EnvConfig + "`" + `. Every key is optional. Unknown keys are errors.

- Sizes are plain numbers of bytes or have a unit: ` + "`64KiB`, `1.5GiB`, `1GB`" + `. Durations have a unit: ` + "`100ms`, `5s`, `1h30m`" + `.
- Every key with a variable below can be set in the environment, which wins over the file. Lists are separated by commas. An empty variable
  counts as absent, an unknown ` + "`MILLRACE_`" + ` variable is an error. Variables that Kubernetes makes for Services (` + "`…_SERVICE_HOST`" + ` and the like) are
  ignored.
- Sections of exporters of the OpenTelemetry Collector take ` + "`MILLRACE_EXPORTERS_OTLP_<KEY>`" + `; two underscores go one level down:
  ` + "`MILLRACE_EXPORTERS_OTLP_TLS__INSECURE=true`" + `.
- *No effect yet* marks keys that are accepted and checked, and that this version does nothing with; services that find them set say so at start.
- ` + "`millrace config check`" + ` says what is wrong with a file, ` + "`millrace config print`" + ` prints what is in effect with secrets masked.
`

// Reference gives the page that documents every key, in Markdown.
func Reference() string {
	r := reference{comments: map[string]string{}, written: map[string]string{}}
	r.readComments()
	r.out.WriteString(referenceHead)
	root := reflect.ValueOf(Default()).Elem()
	for _, f := range fieldsOf(root.Type()) {
		r.section(root.Field(f.index), f.key, f)
	}
	return r.out.String()
}

type reference struct {
	out      strings.Builder
	comments map[string]string // of "Type" and "Type.Field"
	written  map[string]string // the path at which a type's table was written
}

func (r *reference) readComments() {
	entries, err := source.ReadDir(".")
	if err != nil {
		panic(err) // The files are part of the program.
	}
	for _, entry := range entries {
		text, err := source.ReadFile(entry.Name())
		if err != nil {
			panic(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), text, parser.ParseComments)
		if err != nil {
			panic(err)
		}
		for _, declaration := range file.Decls {
			general, ok := declaration.(*ast.GenDecl)
			if !ok || general.Tok != token.TYPE {
				continue
			}
			spec := general.Specs[0].(*ast.TypeSpec)
			r.comments[spec.Name.Name] = sentence(general.Doc.Text(), spec.Name.Name, "")
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					name := f.Names[0].Name
					tags, _ := strconv.Unquote(f.Tag.Value)
					r.comments[spec.Name.Name+"."+name] = sentence(f.Doc.Text(), name, reflect.StructTag(tags).Get("yaml"))
				}
			}
		}
	}
}

// sentence makes documentation of a comment, in one line: "URL of the server" stays, "MaxAge of messages" becomes
// "`max_age` of messages", and "FlushInterval is the longest time" becomes "The longest time".
func sentence(comment, name, key string) string {
	text := strings.Join(strings.Fields(comment), " ")
	rest, found := strings.CutPrefix(text, name)
	if !found {
		return text
	}
	for _, verb := range []string{" is ", " are ", ": "} {
		if after, found := strings.CutPrefix(rest, verb); found {
			first, size := utf8.DecodeRuneInString(after)
			return string(unicode.ToUpper(first)) + after[size:]
		}
	}
	if key == "" || strings.EqualFold(name, key) {
		return text
	}
	return "`" + key + "`" + rest
}

// section writes the table of a section and then those of the sections inside.
func (r *reference) section(v reflect.Value, path string, f field) {
	t := elementType(v.Type())
	fmt.Fprintf(&r.out, "\n## %s\n\n%s", path, r.comments[t.Name()])
	if f.inactive {
		r.out.WriteString(" *No effect yet.*")
	}
	if at, found := r.written[t.Name()]; found {
		fmt.Fprintf(&r.out, " The keys are those of `%s`.\n", at)
		return
	}
	r.written[t.Name()] = path
	r.out.WriteString("\n\n| key | type | default | what it is |\n|---|---|---|---|\n")
	value := reflect.New(t).Elem()
	if v.Kind() == reflect.Struct {
		value = v
	}
	var inside []field
	for _, in := range fieldsOf(t) {
		field := t.Field(in.index)
		if in.inactive = in.inactive || f.inactive; elementType(field.Type).Kind() == reflect.Struct {
			inside = append(inside, in)
		}
		r.row(join(path, in.key), in, field, value.Field(in.index), r.comments[t.Name()+"."+field.Name])
	}
	for _, in := range inside {
		field := value.Field(in.index)
		suffix := ""
		switch field.Kind() {
		case reflect.Slice:
			suffix = "[]"
		case reflect.Map:
			suffix = ".<name>"
		}
		r.section(field, join(path, in.key)+suffix, in)
	}
}

func elementType(t reflect.Type) reflect.Type {
	if t == freeFormType {
		return t
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

func (r *reference) row(path string, f field, goField reflect.StructField, value reflect.Value, comment string) {
	notes := []string{comment}
	if len(f.oneof) > 0 && !mentions(strings.ToLower(comment), f.oneof) {
		notes = append(notes, "One of "+strings.Join(f.oneof, ", ")+".")
	}
	if f.least != "" {
		notes = append(notes, "From "+f.least+" to "+f.greatest+".")
	}
	if f.check == "required" {
		notes = append(notes, "Required.")
	}
	if f.inactive {
		notes = append(notes, "*No effect yet.*")
	}
	kind := kindName(goField.Type)
	if !strings.ContainsAny(path, "[<") && kind != "section" && kind != "sections by name" && kind != "list of sections" &&
		kind != "texts by name" && kind != "settings" {
		notes = append(notes, "`"+EnvironmentName(path)+"`")
	}
	fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s |\n", f.key, kind, defaultText(value), strings.ReplaceAll(strings.Join(notes, " "), "|", `\|`))
}

func mentions(comment string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(comment, strings.ToLower(word)) {
			return false
		}
	}
	return true
}

func kindName(t reflect.Type) string {
	switch t {
	case durationType:
		return "duration"
	case byteSizeType:
		return "size"
	case freeFormType:
		return "settings"
	}
	if t.Kind() == reflect.Map && t.Elem() == freeFormType {
		return "settings"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true/false"
	case reflect.Int, reflect.Int64, reflect.Float64:
		return "number"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "list of sections"
		}
		return "list"
	case reflect.Map:
		if t.Elem().Kind() == reflect.Struct {
			return "sections by name"
		}
		return "texts by name"
	case reflect.Struct, reflect.Pointer:
		return "section"
	default:
		return "text"
	}
}

func defaultText(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Slice:
		if v.Len() > 0 && isScalar(v.Type().Elem()) {
			parts := make([]string, v.Len())
			for i := range parts {
				parts[i] = textOf(v.Index(i))
			}
			return "`[" + strings.Join(parts, ", ") + "]`"
		}
		return ""
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return ""
	}
	if text := textOf(v); text != "" {
		return "`" + text + "`"
	}
	return ""
}
