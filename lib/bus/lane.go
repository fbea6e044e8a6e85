package bus

import (
	"strings"
	"time"
)

// maxProbe is the longest time between probes that are refused: one message does not burden a server.
const maxProbe = 500 * time.Millisecond

// probeTimeout is when a lane tries again whose probe got no answer.
const probeTimeout = 2 * time.Second

// lane is the state of one kind of messages, which all go to one stream. A stream that refuses a message (it has no
// leader, or the server is still starting), or that may have come back with a new connection, gets no more than one
// message of the kind, again and again, until it takes that; then the rest follows. Otherwise it would refuse one and
// take the next, and the order would be lost. The publisher's mu guards it.
type lane struct {
	passed   uint64 // the newest message that was stored
	held     bool   // messages wait in the list
	open     bool   // the probe was stored: the rest is to be sent
	probe    uint64 // the message that was sent alone
	attempts int
	due      time.Time // of the next probe
}

// lane gives the lane of a message by the second token of its subject, which says what a message is. The caller holds
// mu.
func (p *publisher) lane(m *message) *lane {
	_, rest, _ := strings.Cut(m.msg.Subject, ".")
	kind, _, _ := strings.Cut(rest, ".")
	l := p.lanes[kind]
	if l == nil {
		l = &lane{}
		p.lanes[kind] = l
	}
	return l
}

// refuse notes that a message was not stored.
func (l *lane) refuse(token uint64) {
	if l.held && token != l.probe {
		return // One that was sent together with another that was refused.
	}
	l.held, l.open = true, false
	l.attempts++
	l.due = time.Now().Add(min(retryDelay(l.attempts), maxProbe))
}

// take notes that a message was stored, and reports whether the rest may follow.
func (l *lane) take(token uint64) bool {
	l.passed = max(l.passed, token)
	if l.held && token == l.probe {
		l.open = true
	}
	return l.open
}

// hold holds the lane of a new connection.
func (l *lane) hold(reconnected bool, now time.Time) {
	if reconnected {
		l.held, l.open, l.due = true, false, now
	}
}

// probes reports whether the first message of the lane is to be sent, if it is due by itself or because the lane is
// held.
func (l *lane) probes(token uint64, now time.Time) bool {
	if !l.held || l.open {
		return true
	}
	if now.Before(l.due) {
		return false
	}
	l.probe, l.due = token, now.Add(probeTimeout)
	return true
}

// resume ends the hold of a lane whose messages have been sent.
func (l *lane) resume() {
	if l.open {
		l.held, l.open, l.attempts = false, false, 0
	}
}

// overtaken reports whether m must have been lost.
func (l *lane) overtaken(m *message, now time.Time) bool {
	return m.token < l.passed && now.Sub(m.sent) > overtakenAfter<<min(m.overtaken, 4)
}
