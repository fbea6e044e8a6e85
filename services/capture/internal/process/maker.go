package process

import "time"

const (
	// maxMakers bounds the makers of a process that are known.
	maxMakers = 8
	// forgetMakers is how long after it made a process a maker still counts for those that the process makes.
	forgetMakers = time.Hour
)

// Maker is a process that made another.
type Maker struct {
	// Process that made the other: its ID.
	Process uint64
	// Thread, and Goroutine if it is known, that did so.
	Thread    uint32
	Goroutine uint64
	// TimeNS is when, CLOCK_MONOTONIC.
	TimeNS uint64
}

// MadeBy notes that parent made p, as m says. It matters where requests are served: by parent, or by one that made
// parent a while ago. What p does may be for one of them then, and its events go where those of the server go.
func (p *Process) MadeBy(parent *Process, m Maker) {
	if p.Active || len(p.Makers) > 0 {
		return // Its events go somewhere already.
	}
	makers := []Maker{m}
	for _, older := range parent.Makers {
		if len(makers) < maxMakers && older.TimeNS+uint64(forgetMakers) > m.TimeNS {
			makers = append(makers, older)
		}
	}
	if parent.Serves || len(makers) > 1 {
		p.settle(makers, parent.Home())
	}
}

// Continue notes that p is what old was, with a new program and taken for another process.
func (p *Process) Continue(old *Process) {
	if !p.Active && !old.Active && len(p.Makers) == 0 && len(old.Makers) > 0 {
		p.settle(old.Makers, old.Home())
	}
}

func (p *Process) settle(makers []Maker, home uint64) {
	p.Makers, p.home = makers, home
	p.facts.Home, p.encoded = home, nil
}

// Home is the process in whose partition the events of p are: itself, or the server among those that made it.
func (p *Process) Home() uint64 {
	if p.home != 0 {
		return p.home
	}
	return p.ID
}
