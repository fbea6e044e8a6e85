package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roleEnvironment makes this program a server or client of the load.
const roleEnvironment = "BENCH_ROLE"

// load is what a client does. Requests of rate are spread over connections, each served by a thread of its own.
type load struct {
	Port        int           `json:"port"`
	Rate        int           `json:"rate"` // requests a second in all; 0: as many as possible
	Connections int           `json:"connections"`
	Batch       int           `json:"batch"` // requests in one write
	Duration    time.Duration `json:"duration"`
	Request     []byte        `json:"request"`
	Reply       int           `json:"reply"` // bytes of one reply
}

// outcome is what a client did.
type outcome struct {
	Sent int64 `json:"sent"`
	NS   int64 `json:"ns"`
}

const (
	httpRequest = "GET /bench/item?id=42 HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
	httpReply   = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\n01234567890123456789"
	redisSet    = "*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$5\r\nvalue\r\n"
	redisReply  = "+OK\r\n"
)

// playRole runs the role that the environment names, if any, and does not return then.
func playRole() {
	role := os.Getenv(roleEnvironment)
	if role == "" {
		return
	}
	// Threads block in raw system calls without telling the scheduler, as a C program would: there must be a P for
	// each, and no collection of garbage, which would wait for them.
	runtime.GOMAXPROCS(64)
	debug.SetGCPercent(-1)
	var err error
	if role == "server" {
		err = serve()
	} else {
		err = request()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, role, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve answers HTTP requests of exactly the known form, a thread for each connection.
func serve() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	if err := unix.Listen(fd, 128); err != nil {
		return err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	fmt.Println(name.(*unix.SockaddrInet4).Port)
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return err
		}
		go func() {
			runtime.LockOSThread()
			_ = unix.SetsockoptInt(c, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
			buffer := make([]byte, 64<<10)
			replies := bytes.Repeat([]byte(httpReply), 1+len(buffer)/len(httpRequest))
			for rest := 0; ; {
				n, err := raw(unix.SYS_READ, c, buffer)
				if err != nil || n == 0 {
					_ = unix.Close(c)
					return
				}
				rest += n
				if _, err := raw(unix.SYS_WRITE, c, replies[:rest/len(httpRequest)*len(httpReply)]); err != nil {
					return
				}
				rest %= len(httpRequest)
			}
		}()
	}
}

// request makes the load that the arguments describe and prints the outcome.
func request() error {
	var l load
	if err := json.Unmarshal([]byte(os.Args[1]), &l); err != nil {
		return err
	}
	batch := bytes.Repeat(l.Request, l.Batch)
	var sent atomic.Int64
	var wg sync.WaitGroup
	failures := make(chan error, l.Connections)
	begin := time.Now()
	for k := range l.Connections {
		wg.Go(func() {
			runtime.LockOSThread()
			n, err := l.connection(k, begin, batch)
			sent.Add(n)
			if err != nil {
				failures <- err
			}
		})
	}
	wg.Wait()
	if len(failures) > 0 {
		return <-failures
	}
	return json.NewEncoder(os.Stdout).Encode(outcome{Sent: sent.Load(), NS: int64(time.Since(begin))})
}

func (l *load) connection(k int, begin time.Time, batch []byte) (sent int64, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: l.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	buffer := make([]byte, 64<<10)
	every := time.Duration(0)
	if l.Rate > 0 {
		every = time.Duration(float64(time.Second) * float64(l.Connections*l.Batch) / float64(l.Rate))
	}
	next := every * time.Duration(k) / time.Duration(l.Connections)
	for {
		at := time.Since(begin)
		if at >= l.Duration {
			return sent, nil
		}
		if wait := next - at; wait > 0 {
			t := unix.NsecToTimespec(int64(wait))
			_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
			continue
		}
		next += every
		if _, err := raw(unix.SYS_WRITE, fd, batch); err != nil {
			return sent, err
		}
		for left := l.Batch * l.Reply; left > 0; {
			n, err := raw(unix.SYS_READ, fd, buffer)
			if err != nil || n == 0 {
				return sent, fmt.Errorf("read: %d %w", n, errors.Join(err))
			}
			left -= n
		}
		sent += int64(l.Batch)
	}
}

func raw(number uintptr, fd int, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(number, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), nil
	}
}

// httpServer starts a server process and gives its port.
func httpServer() (*exec.Cmd, int, error) {
	command := exec.Command("/proc/self/exe")
	command.Env = append(os.Environ(), roleEnvironment+"=server")
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	if err := command.Start(); err != nil {
		return nil, 0, err
	}
	line := make([]byte, 16)
	n, err := out.Read(line)
	if err != nil {
		return nil, 0, fmt.Errorf("port of the server: %w", err)
	}
	port, err := strconv.Atoi(string(bytes.TrimSpace(line[:n])))
	return command, port, err
}

// run runs a client process; cpu is what it used, seconds.
func (l load) run() (o outcome, pid int, cpu float64, err error) {
	argument, err := json.Marshal(l)
	if err != nil {
		return o, 0, 0, err
	}
	command := exec.Command("/proc/self/exe", string(argument))
	command.Env = append(os.Environ(), roleEnvironment+"=client")
	command.Stderr = os.Stderr
	text, err := command.Output()
	if err != nil {
		return o, 0, 0, fmt.Errorf("client: %w", err)
	}
	state := command.ProcessState
	return o, state.Pid(), (state.UserTime() + state.SystemTime()).Seconds(), json.Unmarshal(text, &o)
}
