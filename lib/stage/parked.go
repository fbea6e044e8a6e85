package stage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// refusal is why this instance left a partition to others, and how far it was.
type refusal struct {
	err      error
	position uint64
}

// refusal notes why a partition is left to others.
func (i *instance) refusal(w *worker, err error) {
	i.log.Error("partition refused for half a minute; another instance may be able to run it", "partition", w.partition, "error", err)
	i.refused[w.partition] = refusal{err, w.status.position.Load()}
}

// parked gives why partitions that this instance refused stand still, nil if all go on: another instance has them, or
// this one got further.
func (i *instance) parked() error {
	maps.DeleteFunc(i.refused, func(p int, r refusal) bool {
		if w := i.workers[p]; w != nil {
			return w.status.position.Load() > r.position || w.status.waiting.Load()
		}
		owner := i.coordinator.holdings[p].seen.Owner
		return owner != "" && owner != i.id
	})
	i.metrics.set(func(m *metrics) prometheus.Gauge { return m.parked }, float64(len(i.refused)))
	var all []error
	for _, p := range slices.Sorted(maps.Keys(i.refused)) {
		all = append(all, fmt.Errorf("partition %d is parked: %w", p, i.refused[p].err))
	}
	if len(all) > 3 {
		all = append(all[:3:3], fmt.Errorf("and %d more", len(all)-3))
	}
	return errors.Join(all...)
}

// reasons gives why partitions are parked here, in a line each.
func (i *instance) reasons() map[int]string {
	reasons := map[int]string{}
	for p, r := range i.refused {
		reasons[p], _, _ = strings.Cut(r.err.Error(), "\n")
	}
	return reasons
}
