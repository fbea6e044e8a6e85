package access

import (
	"fmt"
	"strings"

	"millrace.dev/lib/bus"
)

// Node stands for the node's name, escaped as a subject token, in the subjects of a role that is issued per node. It is
// the operation of NATS's permission templates that gives the name of the user.
const Node = "{{name()}}"

// Grant is a subject on which a role may publish or subscribe.
type Grant struct {
	Subject string // may contain wildcards and [Node]
	Why     string
}

// Role is what one credential is for.
type Role struct {
	Name, About string
	// PerNode: each node has a credential of its own, in whose name the node's is.
	PerNode bool
	// Client is the name of the connection, which makes the prefix of its inbox.
	Client string
	// Streams that it needs and checks at start. None for tools.
	Streams []string
	// Stages that it runs.
	Stages []string

	Publish, Subscribe []Grant
}

// Names of the roles.
const (
	Capture  = "capture"
	Decoder  = "decoder"
	Enricher = "enricher"
	Exporter = "exporter"
	All      = "all"
	Observer = "observer"
	Recorder = "recorder"
	Admin    = "admin"
)

// Find gives a role by name.
func Find(name string) (Role, error) {
	var names []string
	for _, r := range Roles() {
		if r.Name == name {
			return r, nil
		}
		names = append(names, r.Name)
	}
	return Role{}, fmt.Errorf("there is no role %q: one of %s", name, strings.Join(names, ", "))
}

// Streams of a service, all of them (nil) for a name that is no role.
func Streams(name string) []string {
	r, err := Find(name)
	if err != nil {
		return nil
	}
	return r.Streams
}

// InboxPrefix is where answers to a role's requests come. node is the node's name for a role that is issued per node.
func InboxPrefix(role, node string) string {
	prefix := bus.InboxPrefix("millrace-" + role)
	if r, err := Find(role); err == nil && r.PerNode {
		return prefix + "." + bus.Token(node)
	}
	return prefix
}

// Subjects of grants, in order.
func Subjects(grants []Grant) []string {
	subjects := make([]string, 0, len(grants))
	for _, g := range grants {
		subjects = append(subjects, g.Subject)
	}
	return subjects
}
