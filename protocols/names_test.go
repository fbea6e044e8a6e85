package protocols_test

import (
	"bytes"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols/all"
)

// common are names that have a meaning of their own in the product, which itself serves HTTP over TLS, looks up names
// and passes proxies. Of these protocols only the number and the folder are looked for.
var common = map[string]bool{"http": true, "tls": true, "dns": true, "proxy": true}

// nameable are the places outside of protocols that may name a protocol, and why. An entry that is not
// needed fails.
var nameable = []struct{ path, word, reason string }{
	{"bpf/connection.h", "", "numbers that the kernel side compares with"},
	{"bpf/", "PROTOCOL_TLS", "nothing encrypted is copied, whatever the tables say"},
	{"bpf/", "PROTOCOL_HTTP1", "heads of texts end at an empty line, which no table of lengths can say"},
	{"bpf/", "PROTOCOL_REDIS", "lengths are digits in text, which no table of lengths can say"},
	{"services/enricher/internal/detail/", "redis", "the adapter of details that decoders of the release before send"},
	{"services/enricher/internal/join/read.go", "redis", "details in checkpoints of the release before"},
	{"services/decoder/internal/decodertest/", "redis", "a helper of tests"},
	{"services/decoder/internal/processor/infer.go", "protocols/proxy", "a preface comes before any protocol"},
	{"services/enricher/internal/route/words.go", "", "words of paths, not protocols"},
	{"lib/config/", "mysql", "a key of another agent's configuration"},
	{"lib/config/", "postgresql", "what such a key is about"},
	{"cmd/millrace/observe.go", "", "an example in the help text"},
}

// TestNames keeps the promise that a protocol is one folder: nothing that is compiled into the product names one
// elsewhere.
func TestNames(t *testing.T) {
	t.Parallel()
	listed := words(t)
	names := regexp.MustCompile("(?i)(?:^|[^a-z])(" + strings.Join(listed, "|") + ")")
	used := make([]bool, len(nameable))
	for _, root := range []string{"bpf", "lib", "services", "cmd"} {
		err := filepath.WalkDir("../"+root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
				return err
			}
			lines, err := code(path)
			path = strings.TrimPrefix(filepath.ToSlash(path), "../")
			for i, line := range lines {
				for _, m := range names.FindAllStringSubmatch(line, -1) {
					if !allowed(path, m[1], used) {
						t.Errorf("%s:%d names %q: what is about one protocol belongs into its folder", path, i+1, m[1])
					}
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, n := range nameable {
		known := n.word == "" || slices.ContainsFunc(listed, func(w string) bool { return strings.EqualFold(w, n.word) })
		if !used[i] && known {
			t.Errorf("%s need not name %q any more: %s", n.path, n.word, n.reason)
		}
	}
}

// words are patterns of what names a protocol: its name, its number in the schemas, its package.
func words(t *testing.T) (list []string) {
	for _, p := range all.List {
		if p.Number != 0 && p.Number != millracev1.Protocol_PROTOCOL_UNKNOWN {
			list = append(list, millracev1.Protocol_name[int32(p.Number)])
		}
		if !common[p.Name] {
			list = append(list, p.Name)
		}
	}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch name := e.Name(); name {
		case "all", "decode", "edge", "internal":
		default:
			if e.IsDir() {
				list = append(list, "protocols/"+name)
			}
		}
	}
	return list
}

// allowed reports whether a file may use a word, and notes by which entries.
func allowed(path, word string, used []bool) (ok bool) {
	for i, n := range nameable {
		if strings.HasPrefix(path, n.path) && (n.word == "" || strings.EqualFold(n.word, word)) {
			used[i], ok = true, true
		}
	}
	return ok
}

// code gives the lines of a file of Go or C without comments; none of any other file.
func code(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	switch filepath.Ext(path) {
	case ".go":
		return goTokens(text), nil
	case ".c", ".h":
		text = comments.ReplaceAllFunc(text, func(b []byte) []byte { return bytes.Repeat([]byte{'\n'}, bytes.Count(b, []byte{'\n'})) })
		return strings.Split(string(text), "\n"), nil
	}
	return nil, nil
}

var comments = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)

// goTokens gives the identifiers and literals of each line of Go code.
func goTokens(text []byte) []string {
	lines := make([]string, strings.Count(string(text), "\n")+1)
	var s scanner.Scanner
	files := token.NewFileSet()
	file := files.AddFile("", -1, len(text))
	s.Init(file, text, nil, 0)
	for {
		pos, kind, literal := s.Scan()
		if kind == token.EOF {
			return lines
		}
		if kind.IsLiteral() {
			lines[file.Line(pos)-1] += " " + literal
		}
	}
}
