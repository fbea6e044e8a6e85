package kernel

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// The cost of being captured, in ns per exchange (two sends and two receives) over loopback: compare with "none".
func BenchmarkExchange(b *testing.B) {
	statistics(b)
	for _, mode := range []string{"none", "ignored", "TLS", "Redis", "HTTP"} {
		b.Run(mode, func(b *testing.B) {
			var k *Kernel
			if mode != "none" {
				k = record(b, Options{}).Kernel
			}
			client, server := newChild(b, k), newChild(b, k)
			ask, answer := request(100), response(100)
			switch mode {
			case "ignored":
				for _, c := range []*child{client, server} {
					if err := k.SetPolicy(c.pid, Policy{Ignore: true}); err != nil {
						b.Fatal(err)
					}
				}
			case "TLS":
				ask, answer = []byte("\x16\x03\x01...."), []byte("\x16\x03\x01....")
			case "Redis":
				ask, answer = []byte("*2\r\n$3\r\nGET\r\n$5\r\nkey42\r\n"), []byte("$5\r\nvalue\r\n")
			}
			from, to := connect(client, server, "127.0.0.1:0", "")
			for _, end := range []struct {
				c  *child
				fd int
			}{{client, from}, {server, to}} {
				end.c.do(command{Do: "nodelay", FD: end.fd})
			}
			b.ResetTimer()
			server.begin(command{Do: "echo", FD: to, Data: answer, Times: b.N})
			n := client.do(command{Do: "ask", FD: from, Data: ask, Times: b.N}).N
			server.end()
			b.StopTimer()
			b.ReportMetric(float64(n)/float64(b.N), "ns/exchange")
			if k != nil {
				reportPrograms(b, k)
				if l, err := k.Losses(); err != nil || len(l) > 0 {
					b.Errorf("losses %v %v", l, err)
				}
			}
		})
	}
}

// The cost of one system call in the process that does it, on an idle CPU: a write to a socket whose bytes are read
// by the same thread. The socket is a Unix-domain one except with "TCP", which carries Redis.
func BenchmarkSyscalls(b *testing.B) {
	statistics(b)
	for _, mode := range []string{"none", "ignored", "UNKNOWN", "Redis", "TCP"} {
		b.Run(mode, func(b *testing.B) {
			var k *Kernel
			if mode != "none" {
				k = record(b, Options{}).Kernel
			}
			c := newChild(b, k)
			if mode == "ignored" {
				if err := k.SetPolicy(c.pid, Policy{Ignore: true}); err != nil {
					b.Fatal(err)
				}
			}
			data := []byte("$5\r\nvalue\r\n")
			if mode == "UNKNOWN" {
				data = []byte("\x00binary")
			}
			r := c.do(command{Do: "loop", Data: data, Times: b.N, Address: mode})
			b.ReportMetric(float64(r.N)/float64(b.N), "ns/pair")
			if k != nil {
				reportPrograms(b, k)
			}
		})
	}
}

// reportPrograms adds what one run of each program took, as the kernel measures it (which itself takes some 20 ns of
// it). Other processes' calls are in the mean.
func reportPrograms(b *testing.B, k *Kernel) {
	for _, name := range []string{"syscall_exit", "syscall_enter"} {
		program := k.collection.Programs[name]
		if program == nil {
			program = k.programNamed(name)
		}
		if program == nil {
			continue
		}
		if stats, err := program.Stats(); err == nil && stats.RunCount > 0 {
			b.ReportMetric(float64(stats.Runtime.Nanoseconds())/float64(stats.RunCount), "ns/"+name)
		}
	}
}

func init() {
	childCommands["loop"] = func(c *command) (reply, error) {
		r, err := (&command{Do: "pair"}).run()
		if c.Address == "TCP" {
			r, err = loopbackPair()
		}
		if err != nil {
			return r, err
		}
		write, read := &command{Do: "write", FD: r.FD, Data: c.Data}, r.N
		start := time.Now()
		for range c.Times {
			if _, err := write.run(); err != nil {
				return r, err
			}
			if _, err := readInto(read); err != nil {
				return r, err
			}
		}
		return reply{N: int(time.Since(start))}, nil
	}
}

// loopbackPair gives both ends of a TCP connection to this process itself, as FD and N.
func loopbackPair() (reply, error) {
	listener, err := (&command{Do: "listen", Address: "127.0.0.1:0"}).run()
	if err != nil {
		return reply{}, err
	}
	from, err := (&command{Do: "connect", Address: listener.Address}).run()
	if err != nil {
		return reply{}, err
	}
	to, err := (&command{Do: "accept", FD: listener.FD}).run()
	if err != nil {
		return reply{}, err
	}
	return reply{FD: from.FD, N: to.FD}, (&command{Do: "nodelay", FD: from.FD}).err()
}

var loopBuffer [4096]byte

func readInto(fd int) (int, error) { return unix.Read(fd, loopBuffer[:]) }

func (c *command) err() error {
	_, err := c.run()
	return err
}

// statistics makes the kernel measure programs.
func statistics(b *testing.B) {
	if enabled, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME)); err == nil {
		b.Cleanup(func() { enabled.Close() })
	}
}
