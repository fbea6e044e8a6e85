package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"millrace.dev/test/internal/product"
	"millrace.dev/test/internal/spans"
)

// drained is how long the all-in-one may take to export what it has captured.
const drained = 40 * time.Second

// settleOutput waits until the file has not grown for a while.
func settleOutput(path string) {
	last := int64(-1)
	quiet := time.Now()
	for end := time.Now().Add(drained); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		size := int64(0)
		if info, err := os.Stat(path); err == nil {
			size = info.Size()
		}
		if size != last {
			last, quiet = size, time.Now()
		} else if time.Since(quiet) > 4*time.Second { // longer than the hold time
			return
		}
	}
}

// count counts the distinct spans of processes in a file, by process, and those that came more than once.
func count(path string, pids ...int) (out map[int]int64, repeated int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	out = map[int]int64{}
	seen := map[string]struct{}{}
	for _, pid := range pids {
		out[pid] = 0
	}
	reader := bufio.NewReaderSize(f, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			found, err := spans.Parse(line)
			if err != nil {
				return nil, 0, err
			}
			for _, s := range found {
				if _, ok := out[s.PID()]; !ok {
					continue
				}
				if _, ok := seen[s.SpanID]; ok {
					repeated++
					continue
				}
				seen[s.SpanID] = struct{}{}
				out[s.PID()]++
			}
		}
		if errors.Is(err, io.EOF) {
			return out, repeated, nil
		} else if err != nil {
			return nil, 0, err
		}
	}
}

// complete compares requests sent with spans out.
func (b *bench) complete(what, command string, a *agent, sent int64, took float64, pids []int) error {
	settleOutput(a.Spans)
	counts, repeated, err := count(a.Spans, pids...)
	if err != nil {
		return err
	}
	text := a.losses()
	full := counts[pids[0]] == sent && counts[pids[1]] == sent && repeated == 0
	v := verdict(full)
	if !full && text != "" {
		v = "losses counted"
	}
	if repeated > 0 {
		text = strings.TrimPrefix(text+fmt.Sprintf(", %d spans written again", repeated), ", ")
	}
	b.add(row{
		what: what, budget: "100 %, or every loss counted",
		measured: fmt.Sprintf("%d sent in %.1f s (%.0f/s); client spans %d (%.2f %%), server spans %d (%.2f %%)%s", sent, took, float64(sent)/took,
			counts[pids[0]], 100*float64(counts[pids[0]])/float64(sent), counts[pids[1]], 100*float64(counts[pids[1]])/float64(sent), lost(text)),
		verdict: v, command: command,
	})
	return nil
}

func (b *bench) completenessHTTP() error {
	a, err := b.allInOneAgent("", true)
	if err != nil {
		return err
	}
	defer a.stop()
	begin := time.Now()
	u, pids, err := b.httpRun(20_000, b.span, a)
	if err != nil {
		return err
	}
	return b.complete("completeness at 20,000 HTTP requests/s", "bench -only completeness-http", a, u.sent, time.Since(begin).Seconds(), pids)
}

func (b *bench) completenessRedis() error {
	port, stop, server, err := b.redis()
	if err != nil {
		return err
	}
	defer stop()
	a, err := b.allInOneAgent("", true)
	if err != nil {
		return err
	}
	defer a.stop()
	begin := time.Now()
	o, pid, _, err := load{
		Port: port, Rate: 80_000, Connections: 4, Batch: 16, Duration: b.span, Request: []byte(redisSet), Reply: len(redisReply),
	}.run()
	if err != nil {
		return err
	}
	return b.complete("completeness at 80,000 Redis ops/s, pipelines of 16", "bench -only completeness-redis", a, o.Sent,
		time.Since(begin).Seconds(), []int{pid, server})
}

// redis starts a Redis server.
func (b *bench) redis() (port int, stop func(), pid int, err error) {
	if port, err = product.FreePort(); err != nil {
		return 0, nil, 0, err
	}
	command := exec.Command("redis-server", "--port", fmt.Sprint(port), "--bind", "127.0.0.1", "--save", "", "--dir", b.directory)
	if err := command.Start(); err != nil {
		return 0, nil, 0, fmt.Errorf("redis-server: %w", err)
	}
	time.Sleep(500 * time.Millisecond)
	return port, func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait()
	}, command.Process.Pid, nil
}
