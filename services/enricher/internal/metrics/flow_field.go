package metrics

import (
	"slices"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// flowField is a fact of a flow that can be an attribute.
type flowField struct {
	name   string
	append func(dst []byte, f *flowFacts) []byte
}

var flowFieldNamed = func() map[string]*flowField {
	all := slices.Concat(flowFields, flowEndFields("src", 0), flowEndFields("dst", 1))
	named := make(map[string]*flowField, len(all))
	for i := range all {
		if named[all[i].name] != nil {
			panic("two fields of flows are named " + all[i].name)
		}
		named[all[i].name] = &all[i]
	}
	return named
}()

var flowFields = []flowField{
	{"direction", func(dst []byte, f *flowFacts) []byte {
		switch f.flow.Role {
		case millracev1.Role_ROLE_CLIENT:
			return appendText(dst, "request")
		case millracev1.Role_ROLE_SERVER:
			return appendText(dst, "response")
		default:
			return appendText(dst, "unknown")
		}
	}},
	{"network.io.direction", func(dst []byte, f *flowFacts) []byte { return appendText(dst, f.kind) }},
	{"cause", func(dst []byte, f *flowFacts) []byte {
		if f.kind == "" && f.flow.Own != nil {
			return appendText(dst, f.flow.Own.Reset)
		}
		return appendText(dst, f.kind)
	}},
	{"network.tcp.handshake.role", func(dst []byte, f *flowFacts) []byte {
		switch f.flow.Role {
		case millracev1.Role_ROLE_CLIENT:
			return appendText(dst, "client")
		case millracev1.Role_ROLE_SERVER:
			return appendText(dst, "server")
		default:
			return append(dst, absent)
		}
	}},
	{"k8s.cluster.name", func(dst []byte, f *flowFacts) []byte {
		if name := identityText(f.ends[0].cluster, "k8s.cluster.name"); name != "" {
			return appendText(dst, name)
		}
		return appendText(dst, identityText(f.ends[1].cluster, "k8s.cluster.name"))
	}},
	{"transport", func(dst []byte, _ *flowFacts) []byte { return appendText(dst, "tcp") }},
	{"network.type", func(dst []byte, f *flowFacts) []byte {
		if f.ends[0].Address.Addr().Is4() {
			return appendText(dst, "ipv4")
		}
		return appendText(dst, "ipv6")
	}},
	{"client.port", func(dst []byte, f *flowFacts) []byte { return appendPort(dst, f, millracev1.Role_ROLE_CLIENT) }},
	{"server.port", func(dst []byte, f *flowFacts) []byte { return appendPort(dst, f, millracev1.Role_ROLE_SERVER) }},
}

// appendPort appends the port of the end with a role.
func appendPort(dst []byte, f *flowFacts, role millracev1.Role) []byte {
	if f.flow.Role == millracev1.Role_ROLE_UNSPECIFIED {
		return append(dst, absent)
	}
	end := &f.ends[1]
	if f.flow.Role == role {
		end = &f.ends[0]
	}
	return appendNumber(dst, uint64(end.Address.Port()))
}

// flowEndFields are those of one end.
func flowEndFields(prefix string, end int) []flowField {
	text := func(get func(e *flowEnd) string) func([]byte, *flowFacts) []byte {
		return func(dst []byte, f *flowFacts) []byte { return appendText(dst, get(&f.ends[end])) }
	}
	said := func(key string) func([]byte, *flowFacts) []byte {
		return text(func(e *flowEnd) string { return identityText(e.cluster, key) })
	}
	return []flowField{
		{prefix + ".name", text(func(e *flowEnd) string { return e.name })},
		{prefix + ".cidr", text(func(e *flowEnd) string { return e.cidr })},
		{prefix + ".zone", text(func(e *flowEnd) string { return e.zone })},
		{prefix + ".address", func(dst []byte, f *flowFacts) []byte {
			return appendAddress(dst, f.ends[end].Address.Addr().AsSlice())
		}},
		{prefix + ".port", func(dst []byte, f *flowFacts) []byte {
			return appendNumber(dst, uint64(f.ends[end].Address.Port()))
		}},
		{"k8s." + prefix + ".namespace", said("k8s.namespace.name")},
		{"k8s." + prefix + ".node.name", said("k8s.node.name")},
		{"k8s." + prefix + ".name", text(func(e *flowEnd) string { _, name := e.object(); return name })},
		{"k8s." + prefix + ".type", text(func(e *flowEnd) string { kind, _ := e.object(); return kind })},
		{"k8s." + prefix + ".owner.name", text(func(e *flowEnd) string { _, name := e.owner(); return name })},
		{"k8s." + prefix + ".owner.type", text(func(e *flowEnd) string { kind, _ := e.owner(); return kind })},
	}
}

// objectKinds are the objects of a cluster that an address or a process can be, ownerKinds what they belong to, the
// highest first.
var (
	objectKinds = []struct{ key, kind string }{{"k8s.pod.name", "Pod"}, {"k8s.service.name", "Service"}, {"k8s.node.name", "Node"}}
	ownerKinds  = []struct{ key, kind string }{
		{"k8s.deployment.name", "Deployment"},
		{"k8s.statefulset.name", "StatefulSet"},
		{"k8s.daemonset.name", "DaemonSet"},
		{"k8s.cronjob.name", "CronJob"},
		{"k8s.job.name", "Job"},
		{"k8s.replicaset.name", "ReplicaSet"},
	}
)

// object is what the cluster calls the end itself.
func (e *flowEnd) object() (kind, name string) {
	for _, o := range objectKinds {
		if name := identityText(e.cluster, o.key); name != "" {
			return o.kind, name
		}
	}
	return "", ""
}

// owner is what the object belongs to, else the object.
func (e *flowEnd) owner() (kind, name string) {
	for _, o := range ownerKinds {
		if name := identityText(e.cluster, o.key); name != "" {
			return o.kind, name
		}
	}
	return e.object()
}
