// Package process knows the processes of the node: who they are, what they run, in which container, on which ports they
// listen.
//
// Facts come in two layers. What a batch needs at once (identity, name, executable, arguments, cgroup, the process's
// OpenTelemetry settings) is read from /proc when the kernel reports the fork or exec, since a short process is gone a
// moment later; a forked process has its parent's facts until it executes something else. What is slow (the language,
// from the executable; listening ports, from its sockets) is found by one worker and added when it is there. Facts are
// immutable: a change makes new ones.
package process
