package access_test

import (
	"os"
	"strings"
	"testing"

	"millrace.dev/lib/bus/access"
)

func TestPageIsCurrent(t *testing.T) {
	t.Parallel()
	have, err := os.ReadFile("../../../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != access.Page() {
		t.Error("docs/permissions.md is not current: run go generate ./lib/...")
	}
}

// TestRoles checks what must hold whatever the lists say: no service may do anything with everybody's answers, and only
// the administrator creates, changes, empties and removes.
func TestRoles(t *testing.T) {
	t.Parallel()
	for _, r := range access.Roles() {
		for _, g := range append(r.Publish, r.Subscribe...) {
			tokens := strings.Split(g.Subject, ".")
			if g.Why == "" || tokens[0] == ">" || tokens[0] == "*" || g.Subject == "$JS.>" || g.Subject == "$KV.>" || g.Subject == "millrace.>" {
				t.Errorf("%s: %+v", r.Name, g)
			}
			if strings.HasPrefix(g.Subject, "_INBOX.") && !strings.HasPrefix(g.Subject, "_INBOX."+r.Client+".") {
				t.Errorf("%s has another's inbox: %s", r.Name, g.Subject)
			}
			for _, request := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "SNAPSHOT", "RESTORE"} {
				if strings.HasPrefix(g.Subject, "$JS.API.STREAM."+request) && r.Name != access.Admin {
					t.Errorf("%s: %s", r.Name, g.Subject)
				}
			}
		}
		inbox := access.InboxPrefix(r.Name, "node") + ".>"
		if got := strings.ReplaceAll(r.Subscribe[0].Subject, access.Node, "node"); got != inbox {
			t.Errorf("%s: inbox %s, its clients use %s", r.Name, got, inbox)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	if _, err := access.Find("decode"); err == nil || !strings.Contains(err.Error(), "one of capture, decoder") {
		t.Errorf("error %v", err)
	}
	if got := access.InboxPrefix(access.Capture, "a.b"); got != "_INBOX.millrace-capture.a=2Eb" {
		t.Error(got)
	}
}
