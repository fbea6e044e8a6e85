package protocols_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// declared are the tests of the project by name.
func declared(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w+)\(`)
	for _, root := range []string{".", "../services", "../test", "../lib", "../cmd"} {
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range declaration.FindAllSubmatch(text, -1) {
				names[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return names
}

// TestUnderstood: each row of a room's table of what is understood names a proof, and each proof exists.
func TestUnderstood(t *testing.T) {
	t.Parallel()
	rooms, err := filepath.Glob("*/understood.md")
	if err != nil || len(rooms) == 0 {
		t.Fatalf("no tables (%v)", err)
	}
	names := declared(t)
	quoted := regexp.MustCompile("`([^`]+)`")
	for _, room := range rooms {
		text, err := os.ReadFile(room)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "## ") || !strings.HasSuffix(string(text), "|\n") {
			t.Errorf("%s: a heading of the second level comes first and a table last", room)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| topic") {
				continue
			}
			cells := strings.Split(strings.Trim(strings.ReplaceAll(line, `\|`, "/"), "| "), "|")
			proofs := quoted.FindAllStringSubmatch(cells[len(cells)-1], -1)
			if len(cells) != 3 || len(proofs) == 0 {
				t.Errorf("%s:%d: a row has a topic, a behaviour and the names of tests", room, i+1)
			}
			for _, proof := range proofs {
				if !names[proof[1]] {
					t.Errorf("%s:%d: there is no test %s", room, i+1, proof[1])
				}
			}
		}
	}
}
