package actor

import "time"

// Operations of a [Step].
const (
	Listen   = "listen"   // bind Addr and listen; the port is reported
	Accept   = "accept"   // take the next connection of the listener and name it Conn
	Connect  = "connect"  // connect Conn to Addr
	Send     = "send"     // send Data and Fill on Conn
	Receive  = "receive"  // receive until N bytes have come, or end of file
	Close    = "close"    // close Conn
	Reset    = "reset"    // close Conn with a reset instead of a FIN
	Shutdown = "shutdown" // shut down the sending direction of Conn
	Sleep    = "sleep"    // wait for Delay
	Wait     = "wait"     // wait for a line on standard input
	Loop     = "loop"     // run Steps Count times; "{{i}}" in their Data becomes the six-digit iteration
	Exit     = "exit"     // leave at once without closing anything
)

// Step is one step of a script.
type Step struct {
	Op   string `json:"op"`
	Conn string `json:"conn,omitempty"` // name of the socket
	Mark string `json:"mark,omitempty"` // name under which the step reports; a loop appends "#" and its iteration
	Addr string `json:"addr,omitempty"`

	Data []byte `json:"data,omitempty"`
	Fill int    `json:"fill,omitempty"` // bytes of 'x' after Data
	// Via is the system call: for a send write, writev, pwritev2, sendto, sendmsg, sendmmsg, sendfile, splice, vmsplice
	// or iouring; for a receive read, readv, preadv2, recvfrom, recvmsg, recvmmsg, splice, trunc or iouring. Default
	// write and read.
	Via string `json:"via,omitempty"`
	// Cuts are sizes of the pieces in which Data is sent, Delay apart; what remains is the last piece.
	Cuts  []int         `json:"cuts,omitempty"`
	Chunk int           `json:"chunk,omitempty"` // size of one piece (send) or of the buffer (receive); default: all, and 64 KiB
	Delay time.Duration `json:"delay,omitempty"`

	N        int  `json:"n,omitempty"`
	Peek     bool `json:"peek,omitempty"`     // look with MSG_PEEK before each receive
	WaitAll  bool `json:"waitall,omitempty"`  // MSG_WAITALL with a buffer of N bytes
	Nonblock bool `json:"nonblock,omitempty"` // O_NONBLOCK, with poll after EAGAIN
	SendBuf  int  `json:"sendbuf,omitempty"`  // SO_SNDBUF, at connect and accept
	RecvBuf  int  `json:"recvbuf,omitempty"`  // SO_RCVBUF, at connect and listen
	Reuse    bool `json:"reuse,omitempty"`    // SO_REUSEPORT, at listen
	Dual     bool `json:"dual,omitempty"`     // listen on an IPv6 socket that takes IPv4 too

	Count int    `json:"count,omitempty"`
	Steps []Step `json:"steps,omitempty"`
}

// Result is what one step did. Times are nanoseconds since the Unix epoch, taken in user space just before and after
// system calls.
type Result struct {
	Mark  string `json:"mark"`
	Op    string `json:"op"`
	Begin int64  `json:"begin"` // before the first call
	// FirstEnd is the return of the first call that moved data, LastBegin the start of the last one that did.
	FirstEnd  int64  `json:"first_end"`
	LastBegin int64  `json:"last_begin"`
	End       int64  `json:"end"` // after the last call
	N         int    `json:"n"`   // bytes moved
	Calls     int    `json:"calls"`
	Port      int    `json:"port,omitempty"` // local port of listen, connect and accept
	Peer      int    `json:"peer,omitempty"` // peer's port of connect and accept
	EAGAIN    int    `json:"eagain,omitempty"`
	Err       string `json:"err,omitempty"`
}
