// Command page writes what is generated into pages of docs: into protocols.md what the rooms of the protocols say that
// they understand, into accuracy.md the table of confusions.
//
//	page PROTOCOLS ACCURACY
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"millrace.dev/protocols/all/confusion"
)

// part of a page that is generated: what is between its marks.
type part struct {
	begin, end string
	text       func() ([]byte, error)
}

var parts = []part{
	{"<!-- rooms: written by go generate ./protocols -->\n", "<!-- end of rooms -->\n", rooms},
	{confusion.Begin, confusion.End, func() ([]byte, error) { return []byte(confusion.Table()), nil }},
}

func main() {
	if len(os.Args) != 1+len(parts) {
		fmt.Fprintln(os.Stderr, "usage: page PROTOCOLS ACCURACY")
		os.Exit(2)
	}
	for i := range parts {
		if err := parts[i].write(os.Args[1+i]); err != nil {
			fmt.Fprintln(os.Stderr, "page:", err)
			os.Exit(1)
		}
	}
}

// write puts the part between its marks in the page.
func (p *part) write(path string) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(page, []byte(p.begin))
	_, after, ends := bytes.Cut(rest, []byte(p.end))
	if !found || !ends {
		return fmt.Errorf("%s: the marks %q are missing", path, p.begin)
	}
	text, err := p.text()
	if err != nil {
		return err
	}
	return os.WriteFile(path, bytes.Join([][]byte{before, []byte(p.begin), []byte("\n"), text, []byte("\n"), []byte(p.end), after}, nil), 0o644)
}

// rooms gives the file understood.md of every room, by the names of the folders.
func rooms() ([]byte, error) {
	files, err := filepath.Glob("*/understood.md")
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var texts [][]byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return bytes.Join(texts, []byte("\n")), nil
}
