package kernel

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tests act through child processes that do system calls on command, so that each call, its process and its thread
// are known.

const childVariable = "MILLRACE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		runtime.LockOSThread()
		childMain()
		return
	}
	os.Exit(m.Run())
}

// command is an instruction for a child; FD is one of the child's.
type command struct {
	Do      string
	FD, FD2 int
	Address string // host:port, or a path
	Data    []byte
	Split   []int // lengths of the buffers of vectored calls; messages of mmsg calls
	Size    int
	Flags   int
	Times   int
}

type reply struct {
	N       int
	FD      int
	Address string
	Data    []byte
	Error   string
}

func childMain() {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for {
		var c command
		if err := in.Decode(&c); err != nil {
			os.Exit(0)
		}
		r, err := c.run()
		if err != nil {
			r.Error = err.Error()
		}
		if err := out.Encode(r); err != nil {
			os.Exit(1)
		}
	}
}

func sockaddr(address string) (int, unix.Sockaddr) {
	if address[0] == '/' || address[0] == '@' {
		return unix.AF_UNIX, &unix.SockaddrUnix{Name: address}
	}
	a := netip.MustParseAddrPort(address)
	if a.Addr().Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addressOf(sa unix.Sockaddr) string {
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)).String()
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)).String()
	}
	return ""
}

// buffers cuts data into pieces of the lengths in split; the last takes the rest.
func buffers(data []byte, split []int) (pieces [][]byte) {
	for _, n := range split {
		pieces = append(pieces, data[:n])
		data = data[n:]
	}
	return append(pieces, data)
}

func (c *command) run() (r reply, err error) {
	switch c.Do {
	case "listen":
		family, address := sockaddr(c.Address)
		if r.FD, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return r, err
		}
		if err = unix.Bind(r.FD, address); err != nil {
			return r, err
		}
		if err = unix.Listen(r.FD, 16); err != nil {
			return r, err
		}
		bound, err := unix.Getsockname(r.FD)
		r.Address = addressOf(bound)
		return r, err
	case "connect":
		family, address := sockaddr(c.Address)
		if r.FD, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return r, err
		}
		if len(c.Data) > 0 { // the end's own name
			if err = unix.Bind(r.FD, &unix.SockaddrUnix{Name: string(c.Data)}); err != nil {
				return r, err
			}
		}
		return r, unix.Connect(r.FD, address)
	case "accept":
		r.FD, _, err = unix.Accept(c.FD)
	case "pair":
		var pair [2]int
		pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		r.FD, r.N = pair[0], pair[1]
	case "write":
		r.N, err = unix.Write(c.FD, c.Data)
	case "writev":
		r.N, err = unix.Writev(c.FD, buffers(c.Data, c.Split))
	case "send":
		r.N, err = unix.SendmsgN(c.FD, c.Data, nil, nil, c.Flags)
	case "sendto":
		err = unix.Sendto(c.FD, c.Data, c.Flags, nil)
		r.N = len(c.Data)
	case "sendmsg":
		r.N, err = unix.SendmsgBuffers(c.FD, buffers(c.Data, c.Split), nil, nil, c.Flags)
	case "sendmmsg":
		r.N, err = mmsg(unix.SYS_SENDMMSG, c.FD, buffers(c.Data, c.Split), c.Flags)
	case "recvmmsg":
		data := make([]byte, c.Size)
		r.N, err = mmsg(unix.SYS_RECVMMSG, c.FD, buffers(data, c.Split), c.Flags)
		r.Data = data
	case "sendfile":
		var file *os.File
		if file, err = temporary(c.Data); err == nil {
			var at int64
			r.N, err = unix.Sendfile(c.FD, int(file.Fd()), &at, len(c.Data))
			file.Close()
		}
	case "splice":
		var pipe [2]int
		if err = unix.Pipe(pipe[:]); err == nil {
			unix.Write(pipe[1], c.Data)
			var n int64
			n, err = unix.Splice(pipe[0], nil, c.FD, nil, len(c.Data), 0)
			r.N = int(n)
			unix.Close(pipe[0])
			unix.Close(pipe[1])
		}
	case "splicein":
		var pipe [2]int
		if err = unix.Pipe(pipe[:]); err == nil {
			var n int64
			n, err = unix.Splice(c.FD, nil, pipe[1], nil, c.Size, 0)
			r.N = int(n)
			unix.Close(pipe[0])
			unix.Close(pipe[1])
		}
	case "read":
		r.Data = make([]byte, c.Size)
		r.N, err = unix.Read(c.FD, r.Data)
	case "readv":
		r.Data = make([]byte, c.Size)
		r.N, err = unix.Readv(c.FD, buffers(r.Data, c.Split))
	case "recv":
		r.Data = make([]byte, c.Size)
		r.N, _, err = unix.Recvfrom(c.FD, r.Data, c.Flags)
	case "recvmsg":
		r.Data = make([]byte, c.Size)
		r.N, _, _, _, err = unix.RecvmsgBuffers(c.FD, buffers(r.Data, c.Split), nil, c.Flags)
	case "pump": // write Size bytes in all, in pieces as long as Data
		for r.N < c.Size {
			n, err := unix.Write(c.FD, c.Data[:min(len(c.Data), c.Size-r.N)])
			if err != nil {
				return r, err
			}
			r.N += n
		}
	case "sink": // read Size bytes in all
		data := make([]byte, 65536)
		for r.N < c.Size {
			n, err := unix.Read(c.FD, data[:min(len(data), c.Size-r.N)])
			if err != nil {
				return r, err
			}
			if n == 0 {
				return r, io.ErrUnexpectedEOF
			}
			r.N += n
		}
	case "echo": // Times times: read, answer with Data
		data := make([]byte, 4096)
		for range c.Times {
			if _, err = unix.Read(c.FD, data); err != nil {
				return r, err
			}
			if _, err = unix.Write(c.FD, c.Data); err != nil {
				return r, err
			}
		}
	case "ask": // Times times: write Data, read
		data := make([]byte, 4096)
		start := time.Now()
		for range c.Times {
			if _, err = unix.Write(c.FD, c.Data); err != nil {
				return r, err
			}
			if _, err = unix.Read(c.FD, data); err != nil {
				return r, err
			}
		}
		r.N = int(time.Since(start))
	case "nonblock":
		err = unix.SetNonblock(c.FD, true)
	case "nodelay":
		err = unix.SetsockoptInt(c.FD, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	case "buffer":
		err = unix.SetsockoptInt(c.FD, unix.SOL_SOCKET, unix.SO_SNDBUF, c.Size)
	case "shutdown":
		err = unix.Shutdown(c.FD, unix.SHUT_WR)
	case "close":
		err = unix.Close(c.FD)
	case "reset":
		if err = unix.SetsockoptLinger(c.FD, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err == nil {
			err = unix.Close(c.FD)
		}
	case "namespace":
		var file *os.File
		if file, err = os.Open(c.Address); err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
	case "exit":
		os.Exit(0)
	default:
		if do, ok := childCommands[c.Do]; ok {
			return do(c)
		}
		err = fmt.Errorf("unknown command %q", c.Do)
	}
	return r, err
}

// childCommands are added by the tests that need them.
var childCommands = map[string]func(*command) (reply, error){}

func temporary(data []byte) (*os.File, error) {
	file, err := os.CreateTemp("", "millrace")
	if err != nil {
		return nil, err
	}
	os.Remove(file.Name())
	_, err = file.Write(data)
	return file, err
}

// child is a process that waits for commands.
type child struct {
	t   testing.TB
	pid uint32
	cmd *exec.Cmd
	in  *json.Encoder
	out *json.Decoder
}

// newChild starts a child. With k, which was attached before, the child is captured from its first command on.
func newChild(t testing.TB, k *Kernel) *child {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(executable)
	cmd.Env = append(os.Environ(), childVariable+"=1", "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, pid: uint32(cmd.Process.Pid), cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(out)}
	t.Cleanup(func() {
		in.Close()
		timer := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		timer.Stop()
	})
	if k != nil {
		if err := k.SetPolicy(c.pid, Policy{}); err != nil { // it inherited that of the test's process
			t.Fatal(err)
		}
	}
	return c
}

// begin sends a command without waiting for its reply; end waits.
func (c *child) begin(cmd command) {
	c.t.Helper()
	if err := c.in.Encode(cmd); err != nil {
		c.t.Fatal(err)
	}
}

func (c *child) end() (reply, error) {
	c.t.Helper()
	var r reply
	if err := c.out.Decode(&r); err != nil {
		c.t.Fatal(err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// do runs a command that must succeed.
func (c *child) do(cmd command) reply {
	c.t.Helper()
	c.begin(cmd)
	r, err := c.end()
	if err != nil {
		c.t.Fatalf("%s: %v", cmd.Do, err)
	}
	return r
}

// connect makes a connection between two children and gives its ends' file descriptors.
func connect(client, server *child, listen, dial string) (clientFD, serverFD int) {
	l := server.do(command{Do: "listen", Address: listen})
	if dial == "" {
		dial = l.Address
	} else if dial[0] != '/' && dial[0] != '@' {
		dial = netip.AddrPortFrom(netip.MustParseAddr(dial), netip.MustParseAddrPort(l.Address).Port()).String()
	}
	clientFD = client.do(command{Do: "connect", Address: dial}).FD
	serverFD = server.do(command{Do: "accept", FD: l.FD}).FD
	server.do(command{Do: "close", FD: l.FD})
	return clientFD, serverFD
}
