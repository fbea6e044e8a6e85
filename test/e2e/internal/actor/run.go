package actor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Environment is the variable that holds the path of the script; its presence makes a process an actor.
const Environment = "MILLRACE_E2E_SCRIPT"

// Main runs the script that the environment names, prints one [Result] a line, and exits. It returns at once when there
// is none.
func Main() {
	path := os.Getenv(Environment)
	if path == "" {
		return
	}
	runtime.LockOSThread()
	if err := run(path); err != nil {
		fmt.Fprintln(os.Stderr, "actor:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type player struct {
	sockets map[string]int
	out     *json.Encoder
	in      *bufio.Reader
	pending []Result // results of loops and marks, flushed after the script so that printing does not disturb it
	loop    int      // iteration, -1 outside a loop
	buffer  []byte
	listen  int
	ring    *ring
}

func run(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var steps []Step
	if err := json.Unmarshal(text, &steps); err != nil {
		return fmt.Errorf("script: %w", err)
	}
	p := &player{
		sockets: map[string]int{}, out: json.NewEncoder(os.Stdout), in: bufio.NewReader(os.Stdin), loop: -1, listen: -1,
	}
	err = p.play(steps)
	for i := range p.pending {
		if e := p.out.Encode(&p.pending[i]); e != nil {
			return e
		}
	}
	return err
}

func (p *player) play(steps []Step) error {
	for i := range steps {
		s := &steps[i]
		if s.Op == Loop {
			for n := range s.Count {
				p.loop = n
				if err := p.play(s.Steps); err != nil {
					return err
				}
			}
			p.loop = -1
			continue
		}
		if s.Op == Exit {
			for i := range p.pending {
				_ = p.out.Encode(&p.pending[i])
			}
			os.Exit(0)
		}
		r := Result{Mark: s.Mark, Op: s.Op}
		if p.loop >= 0 && s.Mark != "" {
			r.Mark = fmt.Sprintf("%s#%d", s.Mark, p.loop)
		}
		r.Begin = now()
		err := p.step(s, &r)
		if r.End == 0 {
			r.End = now()
		}
		if err != nil {
			r.Err = err.Error()
		}
		switch {
		case s.Op == Listen || s.Op == Wait:
			if e := p.out.Encode(&r); e != nil {
				return e
			}
		case s.Mark != "" || err != nil:
			p.pending = append(p.pending, r)
		}
		if err != nil && s.Mark == "" {
			return fmt.Errorf("step %d %s %s: %w", i, s.Op, s.Conn, err)
		}
	}
	return nil
}

func (p *player) step(s *Step, r *Result) error {
	switch s.Op {
	case Listen:
		return p.doListen(s, r)
	case Accept:
		fd, _, err := accept(p.listen)
		if err != nil {
			return err
		}
		p.sockets[s.Conn] = fd
		return p.prepare(fd, s, r)
	case Connect:
		return p.doConnect(s, r)
	case Send:
		return p.send(p.sockets[s.Conn], s, r)
	case Receive:
		return p.receive(p.sockets[s.Conn], s, r)
	case Close:
		return unix.Close(p.sockets[s.Conn])
	case Reset:
		fd := p.sockets[s.Conn]
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return err
		}
		return unix.Close(fd)
	case Shutdown:
		return unix.Shutdown(p.sockets[s.Conn], unix.SHUT_WR)
	case Sleep:
		time.Sleep(s.Delay)
		return nil
	case Wait:
		if err := p.out.Encode(&Result{Op: "waiting"}); err != nil {
			return err
		}
		_, err := p.in.ReadString('\n')
		return err
	}
	return errors.New("unknown operation")
}

func (p *player) doListen(s *Step, r *Result) error {
	address, err := netip.ParseAddrPort(s.Addr)
	if err != nil {
		return err
	}
	family := unix.AF_INET
	if address.Addr().Is6() || s.Dual {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if s.Reuse {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return err
		}
	}
	if s.RecvBuf > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, s.RecvBuf)
	}
	if s.Dual {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 0)
		address = netip.AddrPortFrom(netip.AddrFrom16(address.Addr().As16()), address.Port())
	}
	if err := unix.Bind(fd, sockaddr(address)); err != nil {
		return err
	}
	if err := unix.Listen(fd, 128); err != nil {
		return err
	}
	p.listen = fd
	r.Port, _ = ports(fd)
	return nil
}

func (p *player) doConnect(s *Step, r *Result) error {
	address, err := netip.ParseAddrPort(s.Addr)
	if err != nil {
		return err
	}
	family := unix.AF_INET
	if address.Addr().Is6() { // also IPv4-mapped addresses
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if s.RecvBuf > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, s.RecvBuf)
	}
	for {
		err = unix.Connect(fd, sockaddr(address))
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil && !errors.Is(err, unix.EISCONN) {
		return err
	}
	p.sockets[s.Conn] = fd
	return p.prepare(fd, s, r)
}

func (p *player) prepare(fd int, s *Step, r *Result) error {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return err
	}
	if s.SendBuf > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, s.SendBuf)
	}
	if s.Nonblock {
		if err := unix.SetNonblock(fd, true); err != nil {
			return err
		}
	}
	r.Port, r.Peer = ports(fd)
	return nil
}

// message gives the bytes that a send step sends.
func (p *player) message(s *Step) []byte {
	data := s.Data
	if p.loop >= 0 {
		data = bytes.ReplaceAll(data, []byte("{{i}}"), fmt.Appendf(nil, "%06d", p.loop))
	}
	if s.Fill > 0 {
		data = append(bytes.Clone(data), bytes.Repeat([]byte{'x'}, s.Fill)...)
	}
	return data
}

func accept(fd int) (int, unix.Sockaddr, error) {
	for {
		n, address, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			return n, address, err
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func ports(fd int) (local, peer int) {
	port := func(a unix.Sockaddr, err error) int {
		if err != nil {
			return 0
		}
		switch a := a.(type) {
		case *unix.SockaddrInet4:
			return a.Port
		case *unix.SockaddrInet6:
			return a.Port
		}
		return 0
	}
	return port(unix.Getsockname(fd)), port(unix.Getpeername(fd))
}

func now() int64 { return time.Now().UnixNano() }
