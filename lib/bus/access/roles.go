package access

import (
	"slices"
	"strings"

	"millrace.dev/lib/bus"
)

// destinations of the exporter.
var destinations = []string{"otlp", "otlphttp", "debug", "file", "prometheus"}

// Roles gives every role. named are the exporter's destinations with a name of their own, as in the configuration
// ("otlp/tempo"): each is a stage, and permissions cannot be given for names that only begin alike.
func Roles(named ...string) []Role {
	roles := []Role{capture(), decoder(), enricher(), exporter(named)}
	return append(roles, all(roles), observer(), recorder(), admin())
}

func capture() Role {
	return finish(Role{
		Name: Capture, About: "the privileged part of one node", PerNode: true, Streams: []string{bus.StreamRaw},
		Publish: join(
			output("millrace.raw.*."+Node, "raw events of its own node, and how far it is"),
			info(bus.StreamRaw),
			inform(bus.BucketProcesses),
			watch(bus.BucketProcesses, Node+".*", "what it announced before a restart"),
			put(bus.BucketProcesses, Node+".*", "services of its own node"),
			inform(bus.BucketTargets),
			// No direct reads: their answers could be sent to any subject, see docs/security.md.
			watch(bus.BucketTargets, Node, "what it is to look at"),
		),
	})
}

func decoder() Role {
	return finish(Role{
		Name: Decoder, About: "raw events to exchanges", Streams: []string{bus.StreamRaw, bus.StreamExchange}, Stages: []string{"decoder"},
		Publish: join(
			output("millrace.exchange.*", "exchanges"),
			output("millrace.link.*", "links between partitions"),
			output(bus.WatermarkSubject, "how far nodes are, for the other partitions"),
			read(bus.StreamRaw), info(bus.StreamExchange),
			stage("decoder"),
		),
	})
}

func enricher() Role {
	return finish(Role{
		Name: Enricher, About: "exchanges to spans and metrics", Streams: []string{bus.StreamExchange, bus.StreamSpan, bus.StreamMetric}, Stages: []string{"enricher"},
		Publish: join(
			output("millrace.span.*.*.*", "spans"),
			output("millrace.link.*", "links to other partitions"),
			output("millrace.metric.*", "metric deltas"),
			read(bus.StreamExchange), info(bus.StreamSpan), info(bus.StreamMetric),
			inform(bus.BucketTargets),
			put(bus.BucketTargets, "*", "what capture is to look at, and the lease of who says so"),
			watch(bus.BucketTargets, "*", "what was said before"), get(bus.BucketTargets, "*", "the lease"),
			stage("enricher"),
			upstream("decoder"),
		),
	})
}

func exporter(named []string) Role {
	stages := []string{"sampler"}
	for _, d := range slices.Concat(destinations, named) {
		// Each destination has a stage for spans and one for metrics, see services/exporter/stages.go.
		d = strings.ReplaceAll(d, "/", "_")
		stages = append(stages, "exporter-"+d, "exporter-metrics-"+d)
	}
	r := Role{
		Name: Exporter, About: "spans and metrics to backends, tail sampling", Stages: stages,
		Streams: []string{bus.StreamSpan, bus.StreamSampled, bus.StreamMetric},
		Publish: join(
			output("millrace.sampled.*.*.*", "spans of kept traces"),
			output("millrace.kept.*", "which traces were kept"),
			read(bus.StreamSpan), read(bus.StreamSampled), read(bus.StreamMetric),
		),
	}
	for _, s := range stages {
		r.Publish = append(r.Publish, stage(s)...)
	}
	r.Publish = append(r.Publish, upstream("enricher")...)
	return finish(r)
}

// all is for `millrace run` on a server of its own: what the services may do together, on one node.
func all(services []Role) Role {
	r := Role{
		Name: All, About: "`millrace run` on an external server: every service of one node", PerNode: true,
	}
	for _, s := range services {
		r.Streams = append(r.Streams, s.Streams...)
		r.Stages = append(r.Stages, s.Stages...)
		r.Publish = append(r.Publish, s.Publish...)
	}
	r.Publish = append(r.Publish, watch(bus.BucketProcesses, ">", "services on the screen")...)
	r.Subscribe = append(r.Subscribe, Grant{"millrace.span.>", "spans on the screen"})
	slices.Sort(r.Streams)
	r.Streams = slices.Compact(r.Streams)
	return finish(r)
}

func observer() Role {
	r := Role{
		Name: Observer, About: "people who look: `millrace observe`, `millrace partitions`, taps on what services put out",
		Publish: join(
			inform(bus.BucketMembers), watch(bus.BucketMembers, "*.*", "instances, for `millrace partitions`"),
			inform(bus.BucketLeases), watch(bus.BucketLeases, "*.*", "owners, for `millrace partitions`"),
		),
	}
	for _, tap := range []string{"exchange", "span", "sampled", "metric", "kept", "flow"} {
		r.Subscribe = append(r.Subscribe, Grant{"millrace." + tap + ".>", "live " + tap + "s"})
	}
	return finish(r)
}

func recorder() Role {
	return finish(Role{
		Name: Recorder, About: "`millrace record` and `millrace replay --publish`: sees payload, as a packet capture does",
		Publish:   output("millrace.raw.*.*", "replayed raw events"),
		Subscribe: []Grant{{"millrace.raw.>", "raw events, to record them"}},
	})
}

func admin() Role {
	r := Role{
		Name: Admin, About: "creates, changes and removes streams and buckets (`millrace nats setup`); may read none of them",
		Publish: []Grant{
			{api + "INFO", "limits of the account"},
			{api + "STREAM.NAMES", "list streams"},
			{api + "STREAM.LIST", "list streams"},
		},
	}
	for _, name := range append(streams(), buckets()...) {
		for _, request := range []string{"INFO", "CREATE", "UPDATE", "DELETE", "PURGE"} {
			r.Publish = append(r.Publish, Grant{api + "STREAM." + request + "." + name, "administration"})
		}
		for _, request := range []string{"NAMES." + name, "LIST." + name, "INFO." + name + ".*"} {
			r.Publish = append(r.Publish, Grant{api + "CONSUMER." + request, "who reads"})
		}
	}
	return finish(r)
}

// finish adds what every role has, and takes away what is said twice.
func finish(r Role) Role {
	r.Client = "millrace-" + r.Name
	inbox := bus.InboxPrefix(r.Client)
	if r.PerNode {
		inbox += "." + Node
	}
	r.Subscribe = append([]Grant{{inbox + ".>", "answers to its own requests"}}, r.Subscribe...)
	seen := map[string]bool{}
	r.Publish = slices.DeleteFunc(r.Publish, func(g Grant) bool {
		again := seen[g.Subject]
		seen[g.Subject] = true
		return again
	})
	return r
}

func streams() []string {
	return []string{bus.StreamRaw, bus.StreamExchange, bus.StreamSpan, bus.StreamSampled, bus.StreamMetric, bus.StreamFlow}
}

func buckets() []string {
	names := []string{bus.BucketMembers, bus.BucketLeases, bus.BucketCheckpoints, bus.BucketProcesses, bus.BucketTargets}
	for i := range names {
		names[i] = backing(names[i])
	}
	return names
}
