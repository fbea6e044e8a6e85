package redact

// preface is what a load balancer says before the client's first message.
type preface struct {
	end, keep uint32 // its length, and how much of it is kept
	read      uint32
	sent      bool // it is in what this end sends
}

// keptUnknown is what is kept of a line about an unknown family, "PROXY UNKNOWN ": no other preface keeps so little.
const keptUnknown = 14

// isLine says that the preface is a line (version 1), whose length shows at its end only.
func (p *preface) isLine() bool { return p.keep == keptUnknown }

func (p *preface) over() bool { return p.read == p.end }

// skip passes over bytes of the preface that are not there, and gives how many there are besides.
func (p *preface) skip(n uint64) uint64 {
	k := min(n, uint64(p.end-p.read))
	p.read += uint32(k)
	return n - k
}

// start begins a direction at its first byte.
func (c *Connection) start(d *direction) {
	d.state = stateFollowed
	if c.preface.end > 0 && d.sends == c.preface.sent {
		d.state = statePreface
	}
}

// readPreface reads what a load balancer says before the first message, and gives what is behind it. Addresses are
// kept; what else there is may name users, hosts and certificates.
func (r *Redactor) readPreface(c *Connection, d *direction, b []byte) []byte {
	p := &c.preface
	n := int(min(p.end-p.read, uint32(min(len(b), 1<<30))))
	for i := range n {
		switch at := p.read + uint32(i); {
		case at < p.keep:
			r.out.Keep(i, i+1)
		case p.isLine() && at < p.end-2 && r.enable:
			r.out.Blank(i, i+1)
		case p.isLine():
			r.out.Keep(i, i+1)
		}
	}
	p.read += uint32(n)
	if p.over() {
		d.state = stateFollowed
	}
	r.out.Advance(n)
	return b[n:]
}
