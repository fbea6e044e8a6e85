// Command page writes into docs/protocols.md what the rooms of the protocols say that they understand.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Marks in the page. What is between them is generated.
const (
	begin = "<!-- rooms: written by go generate ./protocols -->\n"
	end   = "<!-- end of rooms -->\n"
)

func main() {
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}

// write puts the file understood.md of every room between the marks of the page, by the names of the folders.
func write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(page, []byte(begin))
	_, after, ends := bytes.Cut(rest, []byte(end))
	if !found || !ends {
		return fmt.Errorf("%s: the marks of the rooms are missing", path)
	}
	rooms, err := filepath.Glob("*/understood.md")
	if err != nil {
		return err
	}
	slices.Sort(rooms)
	out := append(slices.Clone(before), begin...)
	for _, room := range rooms {
		text, err := os.ReadFile(room)
		if err != nil {
			return err
		}
		out = append(append(out, '\n'), text...)
	}
	out = append(append(append(out, '\n'), end...), after...)
	return os.WriteFile(path, out, 0o644)
}
