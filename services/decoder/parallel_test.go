package decoder_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	millracev1 "millrace.dev/proto/millrace/v1"
	"millrace.dev/services/decoder"
	"millrace.dev/services/decoder/internal/decodertest"
)

// tape keeps what is published, as it is.
type tape struct{ messages []string }

func (p *tape) Publish(subject, _ string, data []byte) {
	p.messages = append(p.messages, subject+" "+string(data))
}

// crowd is many conversations at once in two processes, in random order, with tasks that make and help each other,
// losses, repetitions, disorder and ends.
func crowd(r *rand.Rand, connections int) *decodertest.Traffic {
	t := decodertest.New()
	names := []string{"http", "redis"}
	var queues [][]*millracev1.Event
	for i := range connections {
		one := play(r, conversations[names[i%2]], true)
		base := uint32(len(t.Connections))
		for _, f := range one.Connections {
			n := uint64(len(t.Connections) + 1)
			f.Socket, f.Process = n, decodertest.ServerProcess
			f.SendFlow, f.ReceiveFlow = f.SendFlow+uint64(i)*7<<32, f.ReceiveFlow+uint64(i)*7
			if r.IntN(5) == 0 {
				f.Role = millracev1.Role_ROLE_UNSPECIFIED
			}
			t.Connections = append(t.Connections, f)
		}
		for _, e := range one.Events {
			e.Connection += base
		}
		last := one.Events[len(one.Events)-1]
		for kind := range 3 {
			if r.IntN(4) == 0 {
				end := millracev1.EventKind_EVENT_KIND_CLOSE + millracev1.EventKind(kind%2)
				one.Events = append(one.Events, &millracev1.Event{Kind: end, Connection: last.Connection})
			}
		}
		queues = append(queues, one.Events)
	}
	for len(queues) > 0 {
		i := r.IntN(len(queues))
		e := queues[i][0]
		if queues[i] = queues[i][1:]; len(queues[i]) == 0 {
			queues = slices.Delete(queues, i, i+1)
		}
		t.Goroutine, t.Parent = uint64(r.IntN(20)), uint64(r.IntN(20))
		t.Thread = uint32(1 + r.IntN(3))
		if r.IntN(20) == 0 {
			task := []millracev1.EventKind{
				millracev1.EventKind_EVENT_KIND_TASK_START, millracev1.EventKind_EVENT_KIND_TASK_END, millracev1.EventKind_EVENT_KIND_HANDOFF,
				millracev1.EventKind_EVENT_KIND_PROCESS_START,
			}[r.IntN(4)]
			t.Add(&millracev1.Event{Kind: task, Connection: e.Connection, ParentProcess: t.Processes[r.IntN(2)].Id, ParentThread: 1})
		}
		switch r.IntN(200) {
		case 0: // lost
			t.Clock += 6e8
			continue
		case 1: // twice
			t.Add(e)
		}
		e.Thread = 0 // another acts
		t.Add(e)
		if n := len(t.Events); n > 1 && r.IntN(50) == 0 {
			t.Events[n-1], t.Events[n-2] = t.Events[n-2], t.Events[n-1]
		}
	}
	return t
}

// TestCoresDoNotShow: whatever the number of cores, the same bytes are published in the same order, and the state is
// the same.
func TestCoresDoNotShow(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			traffic := crowd(r, 60)
			// One pool is shared by all the processors but the first, as in a process; the second of it is busy on and
			// off.
			pools := []*decoder.Pool{nil, decoder.NewPool(1), decoder.NewPool(3), decoder.NewPool(8)}
			processors := make([]stage.Processor, len(pools))
			tapes := make([]tape, len(pools))
			limits := config.Decoder{MaxConnections: []int{0, 70}[seed%2], MaxStreamBytes: []config.ByteSize{0, 4096}[seed/2%2]}
			for i, pool := range pools {
				processors[i] = decoder.New(decoder.Options{Partitions: 4, Pool: pool, Config: limits})
			}
			sequence := uint64(0)
			now := time.Unix(1_700_000_000, 0)
			for events := traffic.Events; len(events) > 0; {
				var records []stage.Record
				for range 1 + r.IntN(12) {
					n := min(len(events), 1+r.IntN(400))
					sequence += 1 + uint64(r.IntN(10)/9) // some batches are lost
					if sequence%9 == 0 {
						traffic.Processes[0].Command = fmt.Sprint("renamed", sequence)
					}
					records = append(records, stage.Record{Data: traffic.Batch(sequence, events[:n])})
					events = events[n:]
				}
				now = now.Add(100 * time.Millisecond)
				var want []byte
				for i, p := range processors {
					if err := p.Process(context.Background(), records, &tapes[i]); err != nil {
						t.Fatal(err)
					}
					if err := p.Tick(context.Background(), now, &tapes[i]); err != nil {
						t.Fatal(err)
					}
					snapshot, err := p.Snapshot(nil)
					if err != nil {
						t.Fatal(err)
					}
					if i == 0 {
						want = snapshot
					} else if !bytes.Equal(snapshot, want) {
						t.Fatalf("with pool %d the state is another after batch %d", i, sequence)
					}
				}
			}
			for i, p := range processors {
				for range 60 {
					now = now.Add(100 * time.Millisecond)
					if err := p.Tick(context.Background(), now, &tapes[i]); err != nil {
						t.Fatal(err)
					}
				}
				now = now.Add(-6 * time.Second)
				if !slices.Equal(tapes[i].messages, tapes[0].messages) {
					t.Errorf("with pool %d %d messages, which are not the %d of one core", i, len(tapes[i].messages), len(tapes[0].messages))
				}
			}
			exchanges, caused := 0, 0
			check := &decodertest.Output{TB: t}
			for _, m := range tapes[0].messages {
				subject, data, _ := strings.Cut(m, " ")
				check.Publish(subject, "", []byte(data))
			}
			for _, x := range check.Exchanges {
				exchanges++
				if x.CauseKind != 0 {
					caused++
				}
			}
			if exchanges < 300 || caused < 10 {
				t.Errorf("%d exchanges, %d with a cause: the traffic shows little", exchanges, caused)
			}
		})
	}
}

// TestPoolIsShared: processors of one pool at work at the same time give what they give alone.
func TestPoolIsShared(t *testing.T) {
	t.Parallel()
	traffic := crowd(rand.New(rand.NewPCG(99, 1)), 60)
	record := stage.Record{Data: traffic.Batch(1, traffic.Events)}
	alone := &tape{}
	if err := decoder.New(decoder.Options{Partitions: 4}).Process(context.Background(), []stage.Record{record}, alone); err != nil {
		t.Fatal(err)
	}
	pool := decoder.NewPool(4)
	failed := make(chan string, 12)
	for range cap(failed) {
		go func() {
			together := &tape{}
			err := decoder.New(decoder.Options{Partitions: 4, Pool: pool}).Process(context.Background(), []stage.Record{record}, together)
			if err == nil && slices.Equal(together.messages, alone.messages) {
				failed <- ""
			} else {
				failed <- fmt.Sprintf("%v, %d messages instead of %d", err, len(together.messages), len(alone.messages))
			}
		}()
	}
	for range cap(failed) {
		if s := <-failed; s != "" {
			t.Error(s)
		}
	}
}
