package main

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
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

// saturation is what a saturated Redis did.
type saturation struct {
	rate      float64 // operations a second
	operation float64 // CPU seconds of Redis and its client for one
	agent     float64 // share of the machine's CPUs that the agent and its NATS took
}

func rateOf(s saturation) float64      { return s.rate }
func operationOf(s saturation) float64 { return s.operation }
func shareOf(s saturation) float64     { return s.agent }

func of(list []saturation, f func(saturation) float64) float64 {
	var out []float64
	for _, s := range list {
		out = append(out, f(s))
	}
	return median(out)
}

// redisThroughput saturates a Redis server with and without capture.
func (b *bench) redisThroughput() error {
	port, stop, pid, err := b.redis()
	if err != nil {
		return err
	}
	defer stop()
	for _, pipeline := range []int{1, 16} {
		warm, err := saturate(port, pid, pipeline, 20_000*pipeline, nil)
		if err != nil {
			return err
		}
		count := int(warm.rate * b.span.Seconds()) // Short runs tell of how they begin: connections, and where the scheduler puts whom.
		var plain, captured, whole []saturation
		for range b.rounds {
			for _, side := range []struct {
				start func() (*agent, error)
				into  *[]saturation
			}{
				{nil, &plain},
				{b.captureAgent, &captured},
				{func() (*agent, error) { return b.allInOneAgent("", true) }, &whole},
			} {
				s, err := observed(side.start, func(a *agent) (saturation, error) { return saturate(port, pid, pipeline, count, a) })
				if err != nil {
					return err
				}
				*side.into = append(*side.into, s)
			}
		}
		base := of(plain, rateOf)
		text := func(with []saturation) string {
			return fmt.Sprintf("%.1f %% (its processes take %.0f %% of the CPUs, an operation %.1f us)", 100*(1-of(with, rateOf)/base),
				100*of(with, shareOf), 1e6*of(with, operationOf))
		}
		b.add(row{
			what: fmt.Sprintf("throughput of a saturated Redis, pipelines of %d", pipeline), budget: "cost under 10 %",
			measured: fmt.Sprintf("with capture and NATS %s, with the all-in-one %s, on the CPUs of Redis and its clients; %.0f ops/s without, an operation "+
				"%.1f us of CPU in both", text(captured), text(whole), base, 1e6*of(plain, operationOf)),
			verdict: verdict(of(captured, rateOf) > 0.9*base), command: "bench -only redis-throughput",
		})
	}
	return nil
}

// observed runs a load beside an agent, or without one (nil).
func observed(start func() (*agent, error), load func(*agent) (saturation, error)) (saturation, error) {
	if start == nil {
		return load(nil)
	}
	a, err := start()
	if err != nil {
		return saturation{}, err
	}
	defer a.stop()
	return load(a)
}

// saturate runs redis-benchmark against the server with this port and process, beside an agent (nil: none).
func saturate(port, server, pipeline, count int, a *agent) (s saturation, err error) {
	used := func() (redis, agent float64, err error) {
		if redis, err = cpuSeconds(server); err != nil || a == nil {
			return redis, 0, err
		}
		agent, err = a.cpuSeconds()
		return redis, agent, err
	}
	redis, agent, err := used()
	if err != nil {
		return s, err
	}
	begin := time.Now()
	command := exec.Command("redis-benchmark", "-p", fmt.Sprint(port), "-q", "-n", fmt.Sprint(count), "-c", "20", "-P", fmt.Sprint(pipeline),
		"SET", "bench", "value")
	if out, err := command.CombinedOutput(); err != nil {
		return s, errors.Join(fmt.Errorf("redis-benchmark: %s", out), err)
	}
	seconds := time.Since(begin).Seconds()
	redisAfter, agentAfter, err := used()
	if err != nil {
		return s, err
	}
	client := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	s.rate = float64(count) / seconds
	s.operation = (redisAfter - redis + client.Seconds()) / float64(count)
	s.agent = (agentAfter - agent) / seconds / float64(runtime.NumCPU())
	return s, nil
}
