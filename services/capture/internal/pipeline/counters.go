package pipeline

import (
	"slices"
	"sync/atomic"

	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/protocols"
	"millrace.dev/protocols/all"
	"millrace.dev/services/capture/internal/kernel"
	"millrace.dev/services/capture/internal/redact"
)

// causes is one more than the highest LossCause that is counted; later ones count as unspecified.
const causes = 16

// maxListed is one more than the most protocols that are counted apart.
const maxListed = 32

// Counters are what a pipeline did. They are safe for concurrent use.
type Counters struct {
	events, bytes, batches       atomic.Uint64
	policyErrors, runtimesMissed atomic.Uint64
	forgotten                    atomic.Uint64
	samples, samplesWithoutOwner atomic.Uint64
	verdictErrors                atomic.Uint64
	givenUp                      [redact.Causes][maxListed]atomic.Uint64 // by cause, and by what the connection was taken for
	directionsGivenUp            [redact.Causes][maxListed]atomic.Uint64
	processes, connections       atomic.Int64
	podsAwaited, podBytes        atomic.Int64
	podsGivenUp                  atomic.Uint64
	heldFor                      [outcomes]atomic.Uint64
	lostHere, lostKernel         [causes]atomic.Uint64
	bytesHere, bytesKernel       [causes]atomic.Uint64
}

// Counters gives the pipeline's counters.
func (p *Pipeline) Counters() *Counters { return &p.counters }

// Events read from the kernel side.
func (c *Counters) Events() uint64 { return c.events.Load() }

// Bytes of payload read from the kernel side.
func (c *Counters) Bytes() uint64 { return c.bytes.Load() }

// Batches handed to the send buffer.
func (c *Counters) Batches() uint64 { return c.batches.Load() }

// Samples of connections' counters that were published.
func (c *Counters) Samples() uint64 { return c.samples.Load() }

// SamplesWithoutOwner counts those of connections of which no process is known.
func (c *Counters) SamplesWithoutOwner() uint64 { return c.samplesWithoutOwner.Load() }

// Processes known.
func (c *Counters) Processes() int64 { return c.processes.Load() }

// Connections with state.
func (c *Counters) Connections() int64 { return c.connections.Load() }

// PolicyErrors counts processes whose policy the kernel side did not take.
func (c *Counters) PolicyErrors() uint64 { return c.policyErrors.Load() }

// Forgotten counts connections whose state had to make room for others.
func (c *Counters) Forgotten() uint64 { return c.forgotten.Load() }

// RuntimesMissed counts processes whose runtime was not examined, because too many came at once.
func (c *Counters) RuntimesMissed() uint64 { return c.runtimesMissed.Load() }

// Outcome is what became of an event that was held until its pod was decided about.
type Outcome int

// Outcomes.
const (
	Shipped  Outcome = iota // the pod is watched
	Refused                 // it is not
	TooLate                 // nobody decided in time
	NoRoom                  // there was no room for it
	outcomes                // how many there are
)

// String is the value of the outcome in metrics.
func (o Outcome) String() string { return [...]string{"shipped", "refused", "too_late", "no_room"}[o] }

// HeldFor counts events that were held until their pod was decided about, by what became of them.
func (c *Counters) HeldFor(o Outcome) uint64 { return c.heldFor[o].Load() }

// PodsAwaited are containers of pods of which it is not known yet whether they are watched.
func (c *Counters) PodsAwaited() int64 { return c.podsAwaited.Load() }

// PodBytes are held until pods are decided about.
func (c *Counters) PodBytes() int64 { return c.podBytes.Load() }

// PodsGivenUp counts containers of pods about which nobody decided in time.
func (c *Counters) PodsGivenUp() uint64 { return c.podsGivenUp.Load() }

// VerdictErrors counts connections that the kernel side could not be told about.
func (c *Counters) VerdictErrors() uint64 { return c.verdictErrors.Load() }

// GivenUp counts connections that no longer leave the node, by cause and by the protocol that they were taken for (nil:
// none).
func (c *Counters) GivenUp(cause redact.Cause, taken *protocols.Protocol) uint64 {
	return c.givenUp[cause][takenIndex(taken)].Load()
}

func (c *Counters) giveUp(cause redact.Cause, taken *protocols.Protocol) {
	c.givenUp[cause][takenIndex(taken)].Add(1)
}

// DirectionsGivenUp counts directions of which nothing leaves any more though the connection goes on, as GivenUp does.
func (c *Counters) DirectionsGivenUp(cause redact.Cause, taken *protocols.Protocol) uint64 {
	return c.directionsGivenUp[cause][takenIndex(taken)].Load()
}

func (c *Counters) giveUpDirection(cause redact.Cause, taken *protocols.Protocol) {
	c.directionsGivenUp[cause][takenIndex(taken)].Add(1)
}

// takenIndex is 0 for none, else 1 more than the place in the list.
func takenIndex(taken *protocols.Protocol) int { return slices.Index(all.List, taken) + 1 }

// Lost counts events lost for a cause, by the kernel side and here.
func (c *Counters) Lost(cause millracev1.LossCause) uint64 {
	return c.lostHere[causeIndex(cause)].Load() + c.lostKernel[causeIndex(cause)].Load()
}

// LostBytes counts the bytes of the events lost for a cause, where they are known: payload, or for a batch that was
// dropped all of it, before compression.
func (c *Counters) LostBytes(cause millracev1.LossCause) uint64 {
	return c.bytesHere[causeIndex(cause)].Load() + c.bytesKernel[causeIndex(cause)].Load()
}

func (c *Counters) lose(cause millracev1.LossCause, events, bytes uint64) {
	c.lostHere[causeIndex(cause)].Add(events)
	c.bytesHere[causeIndex(cause)].Add(bytes)
}

func (c *Counters) kernel(losses kernel.Losses) {
	for cause, loss := range losses {
		c.lostKernel[causeIndex(cause)].Store(loss.Events)
		c.bytesKernel[causeIndex(cause)].Store(loss.Bytes)
	}
}

func causeIndex(cause millracev1.LossCause) int {
	if cause < 0 || cause >= causes {
		return 0
	}
	return int(cause)
}
