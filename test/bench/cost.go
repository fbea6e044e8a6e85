package main

import (
	"errors"
	"fmt"
	"os/exec"
	"time"
)

const httpRate = 10_000

// usage is what one run cost, in cores.
type usage struct {
	load, agent, peak float64
	sent              int64
}

// httpRun runs the HTTP load at a rate, with an agent or without (nil).
func (b *bench) httpRun(rate int, span time.Duration, a *agent) (usage, []int, error) {
	server, port, err := httpServer()
	if err != nil {
		return usage{}, nil, err
	}
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()
	l := load{Port: port, Rate: rate, Connections: 8, Batch: 1, Duration: span, Request: []byte(httpRequest), Reply: len(httpReply)}
	before := 0.0
	if a != nil {
		if before, err = cpuSeconds(a.PID()); err != nil {
			return usage{}, nil, err
		}
	}
	begin := time.Now()
	o, pid, client, err := l.run()
	if err != nil {
		return usage{}, nil, err
	}
	seconds := time.Since(begin).Seconds()
	serving, err := cpuSeconds(server.Process.Pid)
	if err != nil {
		return usage{}, nil, err
	}
	u := usage{load: (client + serving) / seconds, sent: o.Sent}
	if a != nil {
		after, err := cpuSeconds(a.PID())
		if err != nil {
			return usage{}, nil, err
		}
		u.agent = (after - before) / seconds
		if u.peak, err = peakMegabytes(a.PID()); err != nil {
			return usage{}, nil, err
		}
	}
	return u, []int{pid, server.Process.Pid}, nil
}

// cost alternates runs without and with an agent.
func (b *bench) cost(start func() (*agent, error)) (plain, observed []usage, losses string, err error) {
	for range b.rounds {
		u, _, err := b.httpRun(httpRate, b.span, nil)
		if err != nil {
			return nil, nil, "", err
		}
		plain = append(plain, u)
		a, err := start()
		if err != nil {
			return nil, nil, "", err
		}
		u, _, err = b.httpRun(httpRate, b.span, a)
		losses = a.losses()
		a.stop()
		if err != nil {
			return nil, nil, "", err
		}
		observed = append(observed, u)
	}
	for _, u := range append(plain, observed...) {
		if want := float64(httpRate) * b.span.Seconds(); float64(u.sent) < 0.97*want {
			b.notes = append(b.notes, fmt.Sprintf("A run at %d requests/s made only %d of %.0f requests.", httpRate, u.sent, want))
		}
	}
	return plain, observed, losses, nil
}

func column(list []usage, f func(usage) float64) []float64 {
	var out []float64
	for _, u := range list {
		out = append(out, f(u))
	}
	return out
}

func loadCores(u usage) float64  { return u.load }
func agentCores(u usage) float64 { return u.agent }
func peak(u usage) float64       { return u.peak }

// capture measures what observing costs the node when the other parts run elsewhere.
func (b *bench) capture() error {
	plain, observed, losses, err := b.cost(b.captureAgent)
	if err != nil {
		return err
	}
	inLoad := median(column(observed, loadCores)) - median(column(plain, loadCores))
	own := median(column(observed, agentCores))
	b.add(row{
		what: "capture, node CPU at 10,000 HTTP requests/s, both ends local", budget: "0.05 core",
		measured: fmt.Sprintf("%.3f core: %.3f in the process, %+.3f in client and server (%.3f without the agent)%s",
			own+inLoad, own, inLoad, median(column(plain, loadCores)), lost(losses)),
		verdict: verdict(own+inLoad <= 0.05), command: "bench -only capture",
	})
	memory := median(column(observed, peak))
	b.add(row{
		what: "capture memory, peak resident set of the same runs", budget: "50 MB",
		measured: fmt.Sprintf("%.0f MB", memory), verdict: verdict(memory <= 50), command: "bench -only capture",
	})
	return nil
}

// allInOne measures the cost when everything runs in one process.
func (b *bench) allInOne() error {
	plain, observed, losses, err := b.cost(func() (*agent, error) { return b.allInOneAgent("", true) })
	if err != nil {
		return err
	}
	inLoad := median(column(observed, loadCores)) - median(column(plain, loadCores))
	own := median(column(observed, agentCores))
	b.add(row{
		what: "all-in-one, CPU at 10,000 HTTP requests/s, file exporter", budget: "0.3 core",
		measured: fmt.Sprintf("%.3f core: %.3f in the process, %+.3f in client and server; peak memory %.0f MB%s",
			own+inLoad, own, inLoad, median(column(observed, peak)), lost(losses)),
		verdict: verdict(own+inLoad <= 0.3), command: "bench -only allinone",
	})
	return nil
}

func lost(text string) string {
	if text == "" {
		return ""
	}
	return "; " + text
}

// redisThroughput saturates a Redis server with and without capture.
func (b *bench) redisThroughput() error {
	port, stop, _, err := b.redis()
	if err != nil {
		return err
	}
	defer stop()
	saturate := func(pipeline int) (float64, error) {
		return benchmark(port, pipeline, 40_000*(1+pipeline/4))
	}
	if _, err := saturate(1); err != nil { // warm
		return err
	}
	for _, pipeline := range []int{1, 16} {
		var plain, kernel, captured, whole []float64
		for range b.rounds {
			for _, side := range []struct {
				start func() (*agent, error)
				into  *[]float64
				alone bool
			}{
				{nil, &plain, false},
				{func() (*agent, error) { return b.captureAgentWith(largeRing) }, &kernel, true},
				{b.captureAgent, &captured, false},
				{func() (*agent, error) { return b.allInOneAgent("", true) }, &whole, false},
			} {
				rate, err := observed(side.start, side.alone, func() (float64, error) { return saturate(pipeline) })
				if err != nil {
					return err
				}
				*side.into = append(*side.into, rate)
			}
		}
		base := median(plain)
		loss := func(with []float64) float64 { return 100 * (1 - median(with)/base) }
		b.add(row{
			what: fmt.Sprintf("throughput of a saturated Redis, pipelines of %d", pipeline), budget: "cost under 10 %",
			measured: fmt.Sprintf("%.1f %% with capture and NATS, %.1f %% with the all-in-one, on the CPUs of Redis and its clients; %.1f %% of the kernel side "+
				"alone, its reader stopped; %.0f ops/s without the agent", loss(captured), loss(whole), loss(kernel), base),
			verdict: verdict(loss(captured) < 10), command: "bench -only redis-throughput",
		})
	}
	return nil
}

// largeRing holds what one run writes.
const largeRing = "capture:\n  ring_buffer: 64MiB\n"

// observed runs a load beside an agent, or without one (nil); alone: with the agent's process stopped, so that only its kernel side is there.
func observed(start func() (*agent, error), alone bool, load func() (float64, error)) (rate float64, err error) {
	if start == nil {
		return load()
	}
	a, err := start()
	if err != nil {
		return 0, err
	}
	defer a.stop()
	if !alone {
		return load()
	}
	err = a.kernelOnly(func() error {
		rate, err = load()
		return err
	})
	return rate, err
}

// benchmark runs redis-benchmark and gives its operations a second.
func benchmark(port, pipeline, count int) (float64, error) {
	begin := time.Now()
	command := exec.Command("redis-benchmark", "-p", fmt.Sprint(port), "-q", "-n", fmt.Sprint(count), "-c", "20", "-P", fmt.Sprint(pipeline),
		"SET", "bench", "value")
	if out, err := command.CombinedOutput(); err != nil {
		return 0, errors.Join(fmt.Errorf("redis-benchmark: %s", out), err)
	}
	return float64(count) / time.Since(begin).Seconds(), nil
}
