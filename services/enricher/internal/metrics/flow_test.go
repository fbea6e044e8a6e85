package metrics

import (
	"net/netip"
	"strings"
	"testing"

	"millrace.dev/lib/config"
	"millrace.dev/services/enricher/internal/join"
	"millrace.dev/services/enricher/internal/resource"

	millracev1 "millrace.dev/proto/millrace/v1"
)

func text(key, value string) *millracev1.KeyValue {
	return &millracev1.KeyValue{Key: key, Value: &millracev1.KeyValue_StringValue{StringValue: value}}
}

// ends are an end that is watched, one of a pod on another node that is not, and one outside.
func ends() (web, pod, outside join.FlowEnd) {
	web = join.FlowEnd{
		Process: &resource.Identity{
			Process: &millracev1.Process{Id: 1, RuleServiceName: "web", RuleServiceNamespace: "shop"},
			Cluster: &millracev1.Identity{Attributes: []*millracev1.KeyValue{
				text("k8s.namespace.name", "front"), text("k8s.pod.name", "web-1"), text("k8s.deployment.name", "web"),
				text("k8s.replicaset.name", "web-7"), text("cloud.availability_zone", "eu-1a"), text("k8s.cluster.name", "prod"),
			}},
		},
		Address: netip.MustParseAddrPort("10.1.0.1:4000"),
	}
	pod = join.FlowEnd{
		Cluster: &millracev1.Identity{Kind: millracev1.IdentityKind_IDENTITY_KIND_POD, ServiceName: "db", Attributes: []*millracev1.KeyValue{
			text("k8s.namespace.name", "back"), text("k8s.pod.name", "db-0"), text("k8s.statefulset.name", "db"), text("cloud.availability_zone", "eu-1b"),
		}},
		Address: netip.MustParseAddrPort("10.2.0.1:5432"),
	}
	outside = join.FlowEnd{Address: netip.MustParseAddrPort("203.0.113.9:443")}
	return web, pod, outside
}

// flowLines are the deltas of flows, without what the list of ends does not need.
func flowLines(t *testing.T, a *Aggregator) []string {
	t.Helper()
	var lines []string
	all := strings.Split(render(t, window(t, a).batches), "\n")
	for i, line := range all {
		if strings.Contains(line, "obi.") || strings.Contains(line, "millrace.tcp") {
			lines = append(lines, strings.TrimSpace(strings.ReplaceAll(line, `"`, "")+": "+strings.TrimSpace(all[i+1])))
		}
	}
	return lines
}

// What is measured of flows, with the attributes that are asked for.
func TestFlows(t *testing.T) {
	t.Parallel()
	web, pod, outside := ends()
	request := func(to join.FlowEnd) *join.Flow {
		return &join.Flow{From: web, To: to, Role: millracev1.Role_ROLE_CLIENT, Bytes: 1000, Packets: 10}
	}
	response := func(from join.FlowEnd) *join.Flow {
		return &join.Flow{From: from, To: web, Role: millracev1.Role_ROLE_SERVER, Bytes: 5000, Packets: 20}
	}
	for name, test := range map[string]struct {
		change func(cfg *config.Config)
		flows  []*join.Flow
		has    []string // texts that a line has
		lines  int
	}{
		"both directions": {
			flows: []*join.Flow{request(pod), response(pod)}, lines: 4,
			has: []string{"obi.network.flow.bytes", "obi.network.inter.zone.bytes", "src.zone=eu-1a", "dst.zone=eu-1b", "sum 1000", "sum 5000"},
		},
		"what is sent": {
			change: func(cfg *config.Config) { cfg.Network.Direction = "egress" },
			flows:  []*join.Flow{request(outside), response(outside)}, lines: 1, has: []string{"sum 1000"},
		},
		"what is received": {
			change: func(cfg *config.Config) { cfg.Network.Direction = "ingress" },
			flows:  []*join.Flow{request(outside), response(outside)}, lines: 1, has: []string{"sum 5000"},
		},
		"no TCP": {
			change: func(cfg *config.Config) { cfg.Network.ExcludeProtocols = []string{"tcp"} },
			flows:  []*join.Flow{request(outside)},
		},
		"the narrowest range": {
			change: func(cfg *config.Config) {
				cfg.Network.CIDRs = []config.CIDR{{CIDR: "0.0.0.0/0", Name: "all"}, {CIDR: "203.0.113.0/24"}, {CIDR: "203.0.0.0/8", Name: "wide"}}
			},
			flows: []*join.Flow{request(outside)}, lines: 1, has: []string{"dst.cidr=203.0.113.0/24", "dst.name=203.0.113.0/24", "src.cidr=all"},
		},
		"an unknown zone": {flows: []*join.Flow{request(outside)}, lines: 1},
		"a zone by its range": {
			change: func(cfg *config.Config) {
				cfg.Network.Zones = []config.Zone{{CIDR: "203.0.113.0/24", Zone: "elsewhere"}}
			},
			flows: []*join.Flow{request(outside)}, lines: 2, has: []string{"dst.zone=elsewhere"},
		},
		"one zone": {
			change: func(cfg *config.Config) { cfg.Network.Zones = []config.Zone{{CIDR: "203.0.113.0/24", Zone: "eu-1a"}} },
			flows:  []*join.Flow{request(outside)}, lines: 1,
		},
		"packets and ports": {
			change: func(cfg *config.Config) {
				cfg.Metrics.Features = []string{"network_flow_packets"}
				cfg.Attributes.Select = map[string]config.AttributeSelection{"obi.network.flow.*": {Include: []string{"*port", "src.address", "k8s.*", "network.type"}}}
			},
			flows: []*join.Flow{request(pod)}, lines: 1,
			has: []string{
				"obi.network.flow.packets", "client.port=4000", "server.port=5432", "src.address=10.1.0.1", "network.type=ipv4", "k8s.src.name=web-1",
				"k8s.src.owner.name=web", "k8s.src.owner.type=Deployment", "k8s.dst.owner.type=StatefulSet", "k8s.dst.type=Pod", "k8s.cluster.name=prod",
			},
		},
		"of an end": {
			change: func(cfg *config.Config) { cfg.Metrics.Features = []string{"stats"} },
			flows: []*join.Flow{{From: web, To: outside, Role: millracev1.Role_ROLE_CLIENT, Own: &join.OwnCounts{
				Retransmits: 3, PayloadSent: 700, PayloadReceived: 800, ReceiverLimited: 2e9, RTT: 30_000_000, RTTMin: 9_000, Began: true,
				Connecting: 1_000_000, Ended: true, Duration: 5e9, Reset: "received",
			}}}, lines: 10,
			has: []string{
				"obi.stat.tcp.io", "network.io.direction=transmit", "cause=receiver", "cause=received", "network.tcp.handshake.role=client",
				"count 1 sum 0.03, 1 up to 0.05", "count 1 sum 9e-06, 1 up to 2e-05", "sum 700", "sum 800", "sum 3",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config.Default()
			cfg.Metrics.Features = []string{"network", "network_inter_zone"}
			if test.change != nil {
				test.change(cfg)
			}
			a := aggregator(t, cfg)
			for _, f := range test.flows {
				a.ObserveFlow(f)
			}
			lines := flowLines(t, a)
			if len(lines) != test.lines {
				t.Errorf("%d lines, want %d", len(lines), test.lines)
			}
			all := strings.Join(lines, "\n")
			for _, text := range test.has {
				if !strings.Contains(all, text) {
					t.Errorf("no %s", text)
				}
			}
			if t.Failed() {
				t.Log(all)
			}
		})
	}
}

// Beyond the limit of series sums hold.
func TestFlowsBeyondTheLimit(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Metrics.Features, cfg.Metrics.CardinalityLimit = []string{"network"}, 10
	cfg.Attributes.Select = map[string]config.AttributeSelection{"obi.network.flow.bytes": {Include: []string{"dst.port"}}}
	a := aggregator(t, cfg)
	web, _, outside := ends()
	for port := range uint16(1000) {
		outside.Address = netip.AddrPortFrom(outside.Address.Addr(), port)
		a.ObserveFlow(&join.Flow{From: web, To: outside, Bytes: 7})
	}
	_, sums, series, overflowing := window(t, a).totals()
	if sums["obi.network.flow.bytes"] != 7000 || series["obi.network.flow.bytes"] != 11 || overflowing["obi.network.flow.bytes"] != 1 {
		t.Errorf("sums %v, series %v, overflowing %v", sums, series, overflowing)
	}
}
