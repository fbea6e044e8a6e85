// Package actor runs traffic scripts: lists of steps that each make exactly the system calls they name, on sockets the
// Go network poller never sees. A test writes one script for the client and one for the server, and each runs in a
// process of its own ([Main], reached by starting the test binary again), which reports when each step's calls began
// and returned: the truth that spans are compared with.
package actor
