package stage_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/embedded"
	"millrace.dev/lib/config"
	"millrace.dev/lib/stage"
	"millrace.dev/lib/telemetry"
)

var (
	crashDuration = flag.Duration("crash.duration", 20*time.Second, "how long TestCrash kills processes")
	crashRate     = flag.Int("crash.rate", 2000, "records per second in TestCrash")
	crashSeed     = flag.Uint64("crash.seed", 0, "seed of TestCrash; 0 for another each time")
)

const (
	roleVariable    = "MILLRACE_STAGE_TEST_ROLE"
	urlVariable     = "MILLRACE_STAGE_TEST_URL"
	crashPartitions = 8
)

// TestMain lets the test binary be the processes of TestCrash.
func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "server":
		os.Exit(serverProcess())
	case "instance":
		os.Exit(instanceProcess(crashConfig(), func(p int) (stage.Processor, error) { return &ordinal{partition: p}, nil }, 2*time.Second))
	case "replicated":
		cfg := crashConfig()
		cfg.Storage, cfg.Replicas = config.StorageFile, 3
		os.Exit(instanceProcess(cfg, func(p int) (stage.Processor, error) { return &ordinal{partition: p}, nil }, 2*time.Second))
	case "anonymous":
		os.Exit(instanceProcess(crashConfig(), anonymousFactory, 5*time.Second))
	}
	flag.Parse()
	os.Exit(m.Run())
}

func crashConfig() config.Bus {
	cfg := config.Default().Bus
	cfg.Partitions = crashPartitions
	cfg.URL = os.Getenv(urlVariable)
	return cfg
}

func serverProcess() int {
	cfg := crashConfig()
	cfg.Embedded.Listen = "127.0.0.1:0"
	server, err := embedded.Start(cfg, embedded.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Shutdown()
	fmt.Println(server.ClientURL())
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return 0
}

func instanceProcess(cfg config.Bus, factory stage.Factory, checkpoints time.Duration) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	conn, err := bus.Connect(ctx, cfg, "instance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer conn.Close()
	t, err := telemetry.New(config.Telemetry{LogLevel: "error"}, "instance")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	err = stage.Run(ctx, stage.Options{
		Name: "ordinal", Stream: bus.StreamRaw, Subjects: rawSubjects, Bus: conn, CheckpointInterval: checkpoints, Telemetry: t,
		Factory: factory,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// ordinal numbers the records of a partition and adds up their content. Each output carries both, so one record lost,
// doubled or out of order makes every later output another.
type ordinal struct {
	partition int
	count     uint64
	sum       uint64
}

func (c *ordinal) Process(_ context.Context, records []stage.Record, out stage.Output) error {
	for _, r := range records {
		n, err := strconv.ParseUint(string(r.Data), 10, 64)
		if err != nil {
			return err
		}
		c.count++
		c.sum = c.sum*31 + n
		data := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, c.count), c.sum)
		out.Publish(bus.SpanSubject(c.partition, "", "o"), fmt.Sprint(c.partition, ".", n), data)
	}
	return nil
}

func (c *ordinal) Tick(context.Context, time.Time, stage.Output) error { return nil }

func (c *ordinal) Snapshot(dst []byte) ([]byte, error) {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(append(dst, 1), c.count), c.sum), nil
}

func (c *ordinal) Restore(b []byte) error {
	c.count, c.sum = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	return nil
}

type crashProcess struct {
	*exec.Cmd
	done chan struct{}
}

// launch runs this test binary in a role. It dies with the test.
func launch(t testing.TB, role, url string) (p crashProcess, line func() string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, urlVariable+"="+url)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p = crashProcess{cmd, make(chan struct{})}
	scanner := bufio.NewScanner(out)
	first := make(chan string, 1)
	go func() {
		defer close(p.done)
		for scanner.Scan() {
			select {
			case first <- scanner.Text():
			default:
			}
		}
		_ = cmd.Wait() // It is killed.
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended.
		<-p.done
	})
	return p, func() string {
		select {
		case s := <-first:
			return s
		case <-time.After(10 * time.Second):
			t.Fatalf("%s does not start", role)
			return ""
		}
	}
}

// TestCrash kills and stops processes of a stage at random under an exactly counted load, and compares with the truth.
func TestCrash(t *testing.T) {
	seed := *crashSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-crash.seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 2))
	_, line := launch(t, "server", "")
	url := line()
	cfg := crashConfig()
	cfg.URL = url
	conn, err := bus.Connect(t.Context(), cfg, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := bus.EnsureStreams(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	var counts [crashPartitions]atomic.Uint64
	loading, stop := context.WithCancel(t.Context())
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for loading.Err() == nil {
			<-ticker.C
			for k := range *crashRate / 100 {
				p := k % crashPartitions
				data := strconv.AppendUint(nil, counts[p].Add(1), 10)
				if _, err := conn.Publish(t.Context(), rawSubjects(p)[0], "", data); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	stream, err := conn.JetStream().Stream(t.Context(), bus.StreamSpan)
	if err != nil {
		t.Fatal(err)
	}
	faults(t, rng, url, stream, time.Now().Add(*crashDuration))
	stop()
	<-loaded
	if err := conn.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	total := uint64(0)
	for p := range counts {
		total += counts[p].Load()
	}
	eventually(t, 20*time.Second, "everything is processed", func() bool {
		info, err := stream.Info(t.Context())
		return err == nil && info.State.Msgs >= total
	})
	time.Sleep(time.Second) // For outputs that there should not be.
	outputs := readOutputs(t, stream)
	var slowest time.Duration
	for p := range counts {
		sum, last := uint64(0), time.Time{}
		for n := uint64(1); n <= counts[p].Load(); n++ {
			sum = sum*31 + n
			o, found := outputs[fmt.Sprint(p, ".", n)]
			if !found || o.count != n || o.sum != sum {
				t.Fatalf("partition %d, record %d: output %+v, %v; want sum %d", p, n, o, found, sum)
			}
			if n > 1 {
				slowest = max(slowest, o.stored.Sub(last))
			}
			last = o.stored
		}
	}
	if len(outputs) != int(total) {
		t.Errorf("%d outputs for %d records", len(outputs), total)
	}
	t.Logf("%d records; the longest that a partition stood still, over faults on top of each other, is %v", total, slowest)
}

// faults runs three instances, and kills, stops, or replaces one of them again and again. After a kill it waits until
// every partition moves again, and measures that; other faults may fall on top of each other.
func faults(t *testing.T, rng *rand.Rand, url string, stream jetstream.Stream, until time.Time) {
	t.Helper()
	var live []crashProcess
	join := func() {
		p, _ := launch(t, "instance", url)
		live = append(live, p)
	}
	signal := func(p crashProcess, s os.Signal) {
		if err := p.Process.Signal(s); err != nil {
			t.Errorf("signal: %v", err)
		}
	}
	for range 3 {
		join()
	}
	allMove(t, stream)
	var done [3]int
	for what := 0; time.Now().Before(until); what = rng.IntN(3) {
		k := rng.IntN(len(live))
		p := live[k]
		done[what]++
		switch what {
		case 0:
			allMove(t, stream)
			signal(p, syscall.SIGKILL)
			live = append(live[:k], live[k+1:]...)
			if rng.IntN(2) == 0 {
				join() // As an orchestrator would.
			}
			took := allMove(t, stream)
			t.Logf("every partition moves %v after a kill", took)
			if took > 10*time.Second {
				t.Errorf("takeover took %v", took)
			}
			for len(live) < 3 {
				join()
			}
		case 1: // Past its lease; it must notice when it wakes.
			signal(p, syscall.SIGSTOP)
			time.Sleep(6 * time.Second)
			signal(p, syscall.SIGCONT)
		case 2:
			signal(p, syscall.SIGTERM)
			live = append(live[:k], live[k+1:]...)
			join()
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
	}
	t.Logf("%d killed, %d stopped past their leases, %d ended", done[0], done[1], done[2])
}

// allMove waits until every partition has new outputs.
func allMove(t *testing.T, stream jetstream.Stream) time.Duration {
	t.Helper()
	began := time.Now()
	subjects := func() map[string]uint64 {
		info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Subjects
	}
	time.Sleep(100 * time.Millisecond) // What was on its way from a process that was killed has arrived.
	before := subjects()
	eventually(t, 30*time.Second, "every partition moves", func() bool {
		now := subjects()
		for subject, n := range now {
			if n <= before[subject] {
				return false
			}
		}
		return len(now) == crashPartitions
	})
	return time.Since(began)
}

type crashOutput struct {
	count, sum uint64
	stored     time.Time
}

// readOutputs gives the outputs by their ids.
func readOutputs(t *testing.T, stream jetstream.Stream) map[string]crashOutput {
	t.Helper()
	outputs := map[string]crashOutput{}
	readAll(t, stream, func(m jetstream.Msg, at *jetstream.MsgMetadata) {
		id := m.Headers().Get(jetstream.MsgIDHeader)
		if _, found := outputs[id]; found {
			t.Errorf("output %s is stored twice", id)
		}
		partition, _, _ := strings.Cut(id, ".")
		if !strings.HasPrefix(m.Subject(), "millrace.span."+partition+".") {
			t.Errorf("output %s on %s", id, m.Subject())
		}
		outputs[id] = crashOutput{binary.BigEndian.Uint64(m.Data()), binary.BigEndian.Uint64(m.Data()[8:]), at.Timestamp}
	})
	return outputs
}
