package access

import (
	"fmt"
	"strings"
)

// Page is docs/permissions.md.
func Page() string {
	var b strings.Builder
	b.WriteString("# Permissions on the bus\n\nWritten by `go generate ./lib/...` from `lib/bus/access`; [security.md](security.md) says how they are used. " +
		"What is not listed is refused.\n`" + Node + "` is the name of the node that the credential was issued for, escaped as a subject token.\n\n" +
		"| role | for |\n|---|---|\n")
	for _, r := range Roles() {
		about := r.About
		if r.PerNode {
			about += " (one credential for each node)"
		}
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", r.Name, r.Name, about)
	}
	for _, r := range Roles() {
		fmt.Fprintf(&b, "\n## %s\n\n", r.Name)
		if r.Name == All {
			b.WriteString("What [capture](#capture), [decoder](#decoder), [enricher](#enricher) and [exporter](#exporter) may do together, with an inbox " +
				"of its own, and:\n\n")
			r = beyond(r)
		}
		b.WriteString("| may | subject | for |\n|---|---|---|\n")
		for _, g := range r.Subscribe {
			fmt.Fprintf(&b, "| subscribe | `%s` | %s |\n", g.Subject, g.Why)
		}
		for _, g := range r.Publish {
			fmt.Fprintf(&b, "| publish | `%s` | %s |\n", g.Subject, g.Why)
		}
	}
	return b.String()
}

// beyond leaves out what the services have.
func beyond(r Role) Role {
	known := map[string]bool{}
	for _, name := range []string{Capture, Decoder, Enricher, Exporter} {
		s, _ := Find(name) // They exist.
		for _, g := range s.Publish {
			known[g.Subject] = true
		}
	}
	var own []Grant
	for _, g := range r.Publish {
		if !known[g.Subject] {
			own = append(own, g)
		}
	}
	r.Publish = own
	return r
}
