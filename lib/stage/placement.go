package stage

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// candidate is a live instance as placement sees it.
type candidate struct {
	id string
	// refused partitions are never placed on it; see [Member.Refused].
	refused []int
}

// place gives the owner that each partition should have, "" for a partition that every candidate refuses. It is a pure
// function of its arguments (the order of candidates does not matter), so that instances which see the same members
// agree without talking.
//
// It is rendezvous hashing with a bound: each partition goes to the candidate with the highest hash of (stage,
// partition, candidate) that has fewer than ceil(partitions/candidates) already. Plain rendezvous hashing moves a
// little less when members change, but with 32 partitions it gives some member twice the load of another.
func place(stage string, partitions int, candidates []candidate) []string {
	owners := make([]string, partitions)
	if len(candidates) == 0 {
		return owners
	}
	type scored struct {
		candidate *candidate
		score     uint64
		load      *int
	}
	ranked := make([]scored, len(candidates))
	for i := range candidates {
		ranked[i] = scored{candidate: &candidates[i], load: new(int)}
	}
	bound := (partitions + len(candidates) - 1) / len(candidates)
	for p := range owners {
		for i := range ranked {
			ranked[i].score = score(stage, p, ranked[i].candidate.id)
		}
		slices.SortFunc(ranked, func(a, b scored) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.candidate.id, b.candidate.id))
		})
		var fallback *scored
		for i := range ranked {
			r := &ranked[i]
			if slices.Contains(r.candidate.refused, p) {
				continue
			}
			if *r.load < bound {
				fallback = r
				break
			}
			if fallback == nil {
				fallback = r // Refusals can leave only full candidates.
			}
		}
		if fallback != nil {
			owners[p] = fallback.candidate.id
			*fallback.load++
		}
	}
	return owners
}

func score(stage string, partition int, id string) uint64 {
	var d xxhash.Digest
	d.Reset()
	var number [8]byte
	binary.LittleEndian.PutUint64(number[:], uint64(partition))
	_, _ = d.WriteString(stage) // Writing to a Digest never fails.
	_, _ = d.Write(number[:])
	_, _ = d.WriteString(id)
	return d.Sum64()
}
