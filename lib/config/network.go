package config

import (
	"slices"
	"time"

	"millrace.dev/lib/catalog"
)

// Network is what connections carry, below the level of requests. See docs/network.md.
type Network struct {
	// Enable the feature network of metrics.features. What is counted is counted where a feature about connections is
	// on, whichever way.
	Enable bool `yaml:"enable"`
	// Source of flows. Both read the counters of sockets: tc adds nothing yet.
	Source string `yaml:"source" oneof:"socket_filter tc"`
	// Direction of flows: what processes that are watched send (egress), what they receive (ingress), or both.
	Direction string `yaml:"direction" oneof:"both ingress egress"`
	// CIDRs are ranges of addresses that src.cidr and dst.cidr name; of several that have an address the narrowest
	// counts. Each is a range alone, or a range with a name.
	CIDRs []CIDR `yaml:"cidrs"`
	// Zones are the zones of ranges of addresses where Kubernetes and the cloud do not say them. The narrowest counts.
	Zones []Zone `yaml:"zones"`
	// Interfaces of which flows are counted. Sockets do not say their interface: only lo means something here, and
	// without it the loopback is not counted.
	Interfaces []string `yaml:"interfaces"`
	// ExcludeInterfaces are those of which none are: with lo, what stays on its machine over a loopback address is left
	// out.
	ExcludeInterfaces []string `yaml:"exclude_interfaces"`
	// Protocols that are counted: TCP. Empty: all.
	Protocols []string `yaml:"protocols"`
	// ExcludeProtocols are those that are not.
	ExcludeProtocols []string `yaml:"exclude_protocols"`
	// CacheActiveTimeout is how far apart the counters of a connection are read while it lasts.
	CacheActiveTimeout time.Duration `yaml:"cache_active_timeout" range:"1s..1h"`
	// CacheMaxFlows bounds the connections that a partition of the enricher remembers. Beyond it those that were idle for
	// longest are forgotten, which is counted; should they go on, what they moved in between is missing.
	CacheMaxFlows int `yaml:"cache_max_flows" range:"100..1000000"`
}

// CIDR is a range of addresses with a name.
type CIDR struct {
	// CIDR is the range, as 10.0.0.0/8.
	CIDR string `yaml:"cidr" alone:"true" check:"cidr"`
	// Name stands for it. Empty: the range itself.
	Name string `yaml:"name"`
}

// Zone is where a range of addresses is.
type Zone struct {
	// CIDR is the range, as 10.0.0.0/8.
	CIDR string `yaml:"cidr" check:"cidr"`
	// Zone is the name of the zone.
	Zone string `yaml:"zone" check:"required"`
}

// Flows reports whether something is to be counted of connections.
func (c *Config) Flows() bool {
	if c.Network.Enable || aboutConnections(c.Metrics.Features) {
		return true
	}
	return slices.ContainsFunc(c.Discovery.Services, func(s Service) bool { return aboutConnections(s.Metrics.Features) })
}

func aboutConnections(features []string) bool {
	return slices.ContainsFunc(features, func(name string) bool { return catalog.Feature(name).OfConnections() })
}

// Loopback reports whether what stays on a machine over a loopback address is counted.
func (n *Network) Loopback() bool {
	if len(n.Interfaces) > 0 && !slices.Contains(n.Interfaces, "lo") {
		return false
	}
	return !slices.Contains(n.ExcludeInterfaces, "lo")
}
