// Package replay publishes recorded raw batches again, adapted to the partitions of the bus they go to.
package replay

import (
	"cmp"

	"millrace.dev/lib/bus"
	millracev1 "millrace.dev/proto/millrace/v1"
)

// Repartition gives batch as one batch for each partition that its processes belong to when there are partitions of
// them: the batch itself where nothing changes. A recording may come from a bus with another number of partitions.
// Losses stay with the first part, sequences with every part.
func Repartition(batch *millracev1.RawBatch, partitions int) []*millracev1.RawBatch {
	owner := make([]int, len(batch.GetConnections()))
	single := true
	homes := map[uint64]uint64{}
	for _, p := range batch.GetProcesses() {
		homes[p.GetId()] = p.GetHome()
	}
	partition := func(process uint64) int { return bus.ProcessPartition(cmp.Or(homes[process], process), partitions) }
	want := -1
	note := func(p int) {
		if want >= 0 && want != p {
			single = false
		}
		want = p
	}
	for i, c := range batch.GetConnections() {
		owner[i] = partition(c.GetProcess())
		note(owner[i])
	}
	for _, e := range batch.GetEvents() {
		if e.GetConnection() == 0 {
			note(partition(e.GetProcess()))
		}
	}
	if want < 0 {
		want = int(batch.GetPartition()) % partitions
	}
	if single {
		batch.Partition = uint32(want)
		return []*millracev1.RawBatch{batch}
	}
	return split(batch, owner, partition)
}

func split(batch *millracev1.RawBatch, owner []int, partition func(uint64) int) []*millracev1.RawBatch {
	var parts []*millracev1.RawBatch
	byPartition := map[int]*millracev1.RawBatch{}
	part := func(p int) *millracev1.RawBatch {
		if b := byPartition[p]; b != nil {
			return b
		}
		b := &millracev1.RawBatch{
			Version: batch.GetVersion(), Node: batch.GetNode(), Epoch: batch.GetEpoch(), Partition: uint32(p), Sequence: batch.GetSequence(),
			ClockOffsetNs: batch.GetClockOffsetNs(),
			Processes:     batch.GetProcesses(), // few; each part stays self-contained
		}
		byPartition[p] = b
		parts = append(parts, b)
		return b
	}
	index := make([]uint32, len(owner)) // new index + 1 of each connection in its part
	for i, c := range batch.GetConnections() {
		b := part(owner[i])
		b.Connections = append(b.Connections, c)
		index[i] = uint32(len(b.GetConnections()))
	}
	for _, e := range batch.GetEvents() {
		c := e.GetConnection()
		if c == 0 {
			b := part(partition(e.GetProcess()))
			b.Events = append(b.Events, e)
			continue
		}
		if int(c) > len(owner) {
			continue // names a connection that the batch does not have: malformed, the decoder would refuse it too
		}
		b := part(owner[c-1])
		e.Connection = index[c-1]
		b.Events = append(b.Events, e)
	}
	if len(parts) > 0 {
		parts[0].Losses = batch.GetLosses()
	}
	return parts
}
