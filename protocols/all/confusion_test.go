package all_test

import (
	"slices"
	"strings"
	"testing"

	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/protocols/all/confusion"
)

// TestConfusions: the kernel side copies whatever the node and the decoder are sure of, and where it names a protocol
// and follows its frames they are sure of no other. Of what is whole, joined or random, nothing is taken for what it is
// not.
func TestConfusions(t *testing.T) {
	t.Parallel()
	rules := all.Rules()
	for _, c := range confusion.Cases() {
		p, g := c.Judge()
		if p == nil {
			continue
		}
		if g != protocols.Sure || !p.Decoded {
			t.Errorf("%s %q is judged %d as %s", c.Way, c.Bytes, g, p.Name)
		}
		if p.Name != c.Of && slices.Contains([]confusion.Way{confusion.Whole, confusion.Cut, confusion.Joined, confusion.Random}, c.Way) {
			t.Errorf("%q of %q, %s, is taken for %s", c.Bytes, c.Of, c.Way, p.Name)
		}
		rule := c.Rule(rules)
		switch {
		case c.Way == confusion.Answered && c.From == protocols.Client:
			// What proves it is the answer; the rule is that of what was asked.
		case rule == nil || !rule.Ship:
			t.Errorf("%q is %s, the kernel side's rule is %+v", c.Bytes, p.Name, rule)
			continue
		}
		if rule != nil && rule.Protocol != 0 && rule.Of.Frames != nil && rule.Of != p {
			t.Errorf("%q is %s, the kernel side takes it for %s and follows its frames", c.Bytes, p.Name, rule.Of.Name)
		}
	}
}

// TestLookalikes: nobody takes whole conversations of other protocols for one of the list, however much of them has
// come, and nobody who joins them does. Three of them carry messages of HTTP, which whoever joins there takes for that.
func TestLookalikes(t *testing.T) {
	t.Parallel()
	for _, l := range confusion.Lookalikes("0123456789abcdef0123456789abcdef") {
		talk := all.Talk{ServerFirst: l.ServerFirst}
		for i, line := range l.Lines {
			side, from := &talk.Client, protocols.Client
			if i%2 == 0 == l.ServerFirst {
				side, from = &talk.Server, protocols.Server
			}
			for at := range line {
				*side = append(*side, line[at])
				if v := all.Judge(&talk); v.Guess == protocols.Sure && v.Protocol.Decoded {
					t.Errorf("%s is taken for %s at %d of line %d", l.Name, v.Protocol.Name, at, i)
				}
				p, g := all.Recognise([]byte(line[at:]), from, protocols.Anywhere)
				carried := strings.Contains(line[at:], "HTTP/1.") && slices.Contains([]string{"icap", "icecast", "syslog"}, l.Name)
				if g == protocols.Sure && (from == protocols.Client || p.Confirm == nil) && !carried {
					t.Errorf("%s, joined at %d of line %d, is taken for %s", l.Name, at, i, p.Name)
				}
			}
		}
	}
}
