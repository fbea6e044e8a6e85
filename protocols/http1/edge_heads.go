package http1

import (
	"bytes"

	"millrace.dev/protocols/edge"
	"millrace.dev/protocols/edge/secret"
)

// heads are the rules of HTTP for scanners that have names and values in memory of their own.
type heads struct {
	r    *rules
	text []byte // a target and the space behind it
}

// NewHeads makes the rules of the settings for scanners that have names and values in memory of their own.
func NewHeads(settings *edge.Rules) (edge.Heads, error) {
	r, err := newRules(settings)
	if err != nil {
		return nil, err
	}
	r.out = &edge.Writer{}
	return &heads{r: r}, nil
}

// uses says what kinds of headers are for scanners. Lengths, codings and upgrades are of HTTP/1 alone.
var uses = [headerKinds]edge.HeaderUse{
	headerNone: edge.HeaderUnknown, headerBlanked: edge.HeaderBlanked, headerUpgrade: edge.HeaderBlanked, headerLength: edge.HeaderBlanked,
	headerCoding: edge.HeaderBlanked, headerHost: edge.HeaderHost, headerType: edge.HeaderType, headerAgent: edge.HeaderAgent,
	headerParent: edge.HeaderParent, headerState: edge.HeaderState, headerKept: edge.HeaderKept,
}

// Header implements [edge.Heads].
func (h *heads) Header(name []byte) edge.HeaderUse {
	kind := h.r.header(name)
	if kind >= headerLayered {
		return edge.HeaderUse(kind)
	}
	return uses[kind]
}

// Begins implements [edge.Heads].
func (h *heads) Begins(b []byte) bool { return h.r.headers.Begins(b) }

// Value implements [edge.Heads].
func (h *heads) Value(use edge.HeaderUse, value []byte) {
	if hasControls(value) {
		use = edge.HeaderUnknown
	}
	switch use {
	case edge.HeaderHost:
		h.r.host(value)
	case edge.HeaderType:
		h.r.contentType(value)
	case edge.HeaderAgent:
		h.r.screen(headerAgent, value)
	case edge.HeaderParent:
		var d direction
		if !d.traceparent(value, 0) {
			h.r.blank(value)
		}
	case edge.HeaderState:
		h.r.traceState(value)
	case edge.HeaderKept:
		h.r.keptHeader(value)
	default:
		if i := int(use) - int(edge.HeaderLayered); i >= 0 && i < len(h.r.layered) {
			h.r.layered[i](value, h.r.mask)
			return
		}
		h.r.blank(value)
	}
}

// Target implements [edge.Heads].
func (h *heads) Target(target []byte, connect bool) {
	if len(target) == 0 {
		return
	}
	// The space tells that the last part is not cut.
	h.text = append(append(h.text[:0], target...), ' ')
	d := direction{phase: phaseTarget, methodTunnel: connect}
	i, failed := 0, false
	for i < len(h.text) && d.inTarget() && d.phase != phaseVersion && !failed {
		i, failed = h.r.target(&d, h.text, i)
	}
	if failed || i != len(h.text) {
		h.r.blank(h.text[:len(target)])
	}
	copy(target, h.text)
}

// Path implements [edge.Heads].
func (h *heads) Path(path, segment []byte) bool {
	if !h.r.enable {
		return true
	}
	before := bytes.TrimSuffix(path[:len(path)-len(segment)], []byte{'/'})
	before = before[bytes.LastIndexByte(before, '/')+1:]
	return len(segment) <= maxText && !secret.Start(segment) && (len(segment) == 0 || h.r.pathNames.Find(before) == 0 && !webhook(before))
}

// Secret implements [edge.Heads].
func (h *heads) Secret(text []byte) bool { return h.r.enable && secret.Start(text) }
