package confusion

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
)

// Marks of the section in the page.
const (
	Begin = "<!-- confusions: written by go generate ./protocols -->\n"
	End   = "<!-- end of confusions -->\n"
)

// Table writes what comes of all cases as a section of docs/accuracy.md.
func Table() string {
	cases := Cases()
	var b strings.Builder
	b.WriteString(introduction)
	b.WriteString("### What connections are taken for\n\n" + outcomes)
	writeOutcomes(&b, cases)
	b.WriteString("\n### Each recogniser alone\n\n" + recognisers)
	writeRecognisers(&b, cases)
	return b.String()
}

const introduction = `## Table of confusions

First bytes of every protocol and of many others, against every recogniser: *whole*; *cut* after each byte; *shifted*, that
is without their first 1 to 16 bytes; *changed*, with one to three bytes replaced at random; *answered* by what servers of
several protocols say; *joined*, whole and shifted, on a connection whose beginning was not seen; and bytes at *random*,
half of them printable. The samples are in ` + "`protocols/all/confusion`" + `. ` + "`TestConfusions`" + ` passes every case to the kernel
side's rules, to the node and to the decoder, and fails where two of them disagree: where the node and the decoder take a
connection for different protocols, where they would after the node has blanked what may not leave, or where the kernel
side does not copy what they would recognise.

`

const outcomes = `*Copied* counts the cases whose first send the kernel side copies, *named* those in which it also names the protocol and
need not wait for the node. The node and the decoder are sure that it is the protocol (*itself*), or another; wait for more
bytes or for the other end; or give the connection up. Nothing of a connection that waits leaves the node. *Another* is
never right of a whole sample; of a changed or shifted one the bytes are then a message of the other protocol to the
letter, and of an answered one the request is one of both, and the answer is the other's.

`

const recognisers = `How many of the samples above each protocol's own recogniser is sure of, and after the + how many it takes for likely, so
that the answer must prove it. What several protocols are equally sure of is not recognised.

`

// row of the tables.
type row struct {
	of  string
	way Way
}

// rows in their order: protocols as in the list, then others, then random bytes.
func rows(cases []Case) (order []row, of map[row][]*Case) {
	of = map[row][]*Case{}
	for i := range cases {
		c := &cases[i]
		at := row{c.Of, c.Way}
		of[at] = append(of[at], c)
	}
	rank := map[string]int{"": len(all.List)}
	for i, p := range all.List {
		rank[p.Name] = i
	}
	order = slices.SortedFunc(maps.Keys(of), func(a, b row) int {
		if a.way == Random || b.way == Random {
			return slices.Index(ways, a.way) - slices.Index(ways, b.way)
		}
		if rank[a.of] != rank[b.of] {
			return rank[a.of] - rank[b.of]
		}
		return slices.Index(ways, a.way) - slices.Index(ways, b.way)
	})
	return order, of
}

func (r row) title() string {
	switch {
	case r.way == Random:
		return "| random bytes | "
	case r.of == "":
		return "| others | " + string(r.way)
	}
	return "| " + r.of + " | " + string(r.way)
}

func writeOutcomes(b *strings.Builder, cases []Case) {
	b.WriteString("| bytes of | way | cases | copied | named | itself | waits | given up | another |\n|---|---|--:|--:|--:|--:|--:|--:|---|\n")
	rules := all.Rules()
	order, of := rows(cases)
	for _, r := range order {
		var copied, named, itself, waits, no int
		another := map[string]int{}
		for _, c := range of[r] {
			if rule := c.Rule(rules); rule != nil && rule.Ship {
				copied++
				if rule.Protocol != 0 {
					named++
				}
			}
			switch p, g := c.Judge(); {
			case p != nil && p.Name == c.Of:
				itself++
			case p != nil:
				another[p.Name]++
			case g == protocols.No:
				no++
			default:
				waits++
			}
		}
		fmt.Fprintf(b, "%s | %d | %d | %d | %s | %s | %s | %s |\n", r.title(), len(of[r]), copied, named, number(itself), number(waits), number(no), list(another))
	}
}

// number leaves out zeros, which are most.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func list(counts map[string]int) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		words = append(words, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(words, ", ")
}

func writeRecognisers(b *strings.Builder, cases []Case) {
	b.WriteString("| bytes of | way |")
	for _, p := range all.List {
		b.WriteString(" " + p.Name + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("--:|", len(all.List)) + "\n")
	order, of := rows(cases)
	for _, r := range order {
		if r.way == Answered {
			continue
		}
		b.WriteString(r.title() + " |")
		how := protocols.Opening
		if r.way == Joined {
			how = protocols.Anywhere
		}
		for _, p := range all.List {
			sure, likely := 0, 0
			for _, c := range of[r] {
				switch p.Recognise([]byte(c.Bytes), c.From, how) {
				case protocols.Sure:
					sure++
				case protocols.Likely:
					likely++
				default:
				}
			}
			cell := number(sure)
			if likely > 0 {
				cell += fmt.Sprintf("+%d", likely)
			}
			b.WriteString(" " + cell + " |")
		}
		b.WriteString("\n")
	}
}
