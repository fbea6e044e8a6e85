package metrics

import (
	"net/netip"
	"slices"
	"strings"

	"millrace.dev/lib/catalog"
	"millrace.dev/lib/config"
	"millrace.dev/services/enricher/internal/join"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// flowQuantity is what is measured of a flow; false: it has none of it.
type flowQuantity func(f *flowFacts) (value uint64, ok bool)

// flowInstruments is the list of what is measured of flows.
var flowInstruments = []struct {
	metric   string
	quantity flowQuantity
	// kind is the value of the attribute that tells measurements of one metric apart; empty: it has none.
	kind string
}{
	{"obi.network.flow.bytes", func(f *flowFacts) (uint64, bool) { return f.flow.Bytes, f.wire && f.flow.Bytes > 0 }, ""},
	{"obi.network.flow.packets", func(f *flowFacts) (uint64, bool) { return f.flow.Packets, f.wire && f.flow.Packets > 0 }, ""},
	{"obi.network.inter.zone.bytes", func(f *flowFacts) (uint64, bool) {
		return f.flow.Bytes, f.wire && f.flow.Bytes > 0 && f.ends[0].zone != "" && f.ends[1].zone != "" && f.ends[0].zone != f.ends[1].zone
	}, ""},
	{"obi.stat.tcp.rtt", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.RTT, o.RTT > 0 }), ""},
	{"millrace.tcp.rtt.min", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.RTTMin, o.RTTMin > 0 }), ""},
	{"obi.stat.tcp.retransmits", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.Retransmits, o.Retransmits > 0 }), ""},
	{"obi.stat.tcp.io", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.PayloadSent, o.PayloadSent > 0 }), "transmit"},
	{"obi.stat.tcp.io", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.PayloadReceived, o.PayloadReceived > 0 }), "receive"},
	{"obi.stat.tcp.successful.connections", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return 1, o.Began }), ""},
	{"millrace.tcp.limited.time", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.ReceiverLimited, o.ReceiverLimited > 0 }), "receiver"},
	{"millrace.tcp.limited.time", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.SenderLimited, o.SenderLimited > 0 }), "sender"},
	{"millrace.tcp.resets", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return 1, o.Reset != "" }), ""},
	{"millrace.tcp.connection.duration", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.Duration, o.Duration > 0 }), ""},
	{"millrace.tcp.connect.duration", ofOwn(func(o *join.OwnCounts) (uint64, bool) { return o.Connecting, o.Connecting > 0 }), ""},
}

// ofOwn is a quantity that one end counts of itself.
func ofOwn(get func(*join.OwnCounts) (uint64, bool)) flowQuantity {
	return func(f *flowFacts) (uint64, bool) {
		if f.flow.Own == nil {
			return 0, false
		}
		return get(f.flow.Own)
	}
}

// flowMeter adds one quantity of flows to one metric.
type flowMeter struct {
	metric   *metric
	quantity flowQuantity
	// kind is the value of the attribute that tells measurements of one metric apart.
	kind   string
	fields []*flowField
}

// flowFacts are what is known of a flow.
type flowFacts struct {
	flow *join.Flow
	// ends are those that it goes from and to.
	ends [2]flowEnd
	// wire: the direction is counted.
	wire bool
	// kind as in the meter.
	kind string
}

// flowEnd is an end as attributes show it.
type flowEnd struct {
	join.FlowEnd
	name, zone string
	cidr       string // that its address is in
	cluster    *millracev1.Identity
}

// flowRules are what the configuration says of flows.
type flowRules struct {
	egress, ingress bool
	cidrs, zones    ranges
}

// ranges are ranges of addresses with their names, the narrowest first.
type ranges []namedRange

type namedRange struct {
	prefix netip.Prefix
	name   string
}

// of gives the name of the narrowest range that has the address; empty: none does.
func (r ranges) of(address netip.Addr) string {
	for i := range r {
		if r[i].prefix.Contains(address) {
			return r[i].name
		}
	}
	return ""
}

func (r ranges) with(cidr, name string) ranges {
	prefix, err := netip.ParsePrefix(cidr)
	if err != nil {
		return r // The configuration is valid.
	}
	if name == "" {
		name = cidr
	}
	return append(r, namedRange{prefix.Masked(), name})
}

func (r ranges) sorted() ranges {
	slices.SortStableFunc(r, func(a, b namedRange) int { return b.prefix.Bits() - a.prefix.Bits() })
	return r
}

func newFlowRules(cfg *config.Network) flowRules {
	rules := flowRules{egress: cfg.Direction != "ingress", ingress: cfg.Direction != "egress"}
	named := func(protocols []string) bool {
		return slices.ContainsFunc(protocols, func(name string) bool { return strings.EqualFold(name, "tcp") })
	}
	if len(cfg.Protocols) > 0 && !named(cfg.Protocols) || named(cfg.ExcludeProtocols) {
		rules.egress, rules.ingress = false, false
	}
	for _, c := range cfg.CIDRs {
		rules.cidrs = rules.cidrs.with(c.CIDR, c.Name)
	}
	for _, z := range cfg.Zones {
		rules.zones = rules.zones.with(z.CIDR, z.Zone)
	}
	rules.cidrs, rules.zones = rules.cidrs.sorted(), rules.zones.sorted()
	return rules
}

// flowMeters compiles what the features measure of flows.
func (c *compiler) flowMeters(features []string) (meters []flowMeter) {
	for _, in := range flowInstruments {
		m, found := catalog.ByName(in.metric)
		if !found || !slices.ContainsFunc(m.Features, func(f catalog.Feature) bool { return slices.Contains(features, string(f)) }) {
			continue
		}
		meter := flowMeter{quantity: in.quantity, kind: in.kind}
		for _, candidate := range c.settings.metrics {
			if candidate.name == in.metric {
				meter.metric = candidate
			}
		}
		names := selection(m, c.config.Attributes.Select)
		slices.Sort(names)
		for _, name := range names {
			if f := flowFieldNamed[name]; f != nil {
				meter.fields = append(meter.fields, f)
			}
		}
		meters = append(meters, meter)
	}
	return meters
}

// ObserveFlow implements [join.Observer].
func (a *Aggregator) ObserveFlow(flow *join.Flow) {
	var from, to *source
	if flow.From.Process != nil {
		from = a.source(flow.From.Process)
	}
	if flow.To.Process != nil {
		to = a.source(flow.To.Process)
	}
	owner := from
	if owner == nil {
		owner = to
	}
	if owner == nil || len(owner.policy.flows) == 0 {
		return
	}
	rules := &a.settings.flows
	f := &flowFacts{flow: flow, wire: rules.egress && from != nil || rules.ingress && to != nil}
	f.ends[0], f.ends[1] = rules.end(flow.From, from), rules.end(flow.To, to)
	a.openWindow()
	a.inform(owner)
	for i := range owner.policy.flows {
		m := &owner.policy.flows[i]
		value, ok := m.quantity(f)
		if !ok {
			continue
		}
		f.kind = m.kind
		a.attributes = a.attributes[:0]
		for _, field := range m.fields {
			a.key = field.append(a.key[:0], f)
			a.attributes = appendAttribute(a.attributes, field.name, a.key)
		}
		s := a.find(m.metric, owner.origins[owner.policy.level], a.attributes)
		if s.overflow {
			a.counters.overflow.Inc()
		}
		s.add(value, nil)
	}
}

// end describes an end.
func (r *flowRules) end(e join.FlowEnd, s *source) flowEnd {
	d := flowEnd{FlowEnd: e, cluster: e.Cluster, cidr: r.cidrs.of(e.Address.Addr())}
	if e.Process != nil {
		d.cluster = e.Process.Cluster
		d.name = s.name
		d.zone = e.Process.Process.GetHost().GetCloudAvailabilityZone()
	} else if d.name = e.Cluster.GetServiceName(); d.name == "" {
		d.name = identityText(e.Cluster, "k8s.node.name")
	}
	if d.name == "" {
		d.name = d.cidr
	}
	if zone := identityText(d.cluster, "cloud.availability_zone"); zone != "" {
		d.zone = zone
	}
	if d.zone == "" {
		d.zone = r.zones.of(e.Address.Addr())
	}
	return d
}

// identityText gives an attribute of what the cluster says; empty: it does not say.
func identityText(i *millracev1.Identity, key string) string {
	for _, kv := range i.GetAttributes() {
		if kv.GetKey() == key {
			return kv.GetStringValue()
		}
	}
	return ""
}
