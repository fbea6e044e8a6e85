// Package goruntime makes causality inside Go programs visible: which goroutine caused a request that another goroutine
// wrote, and which goroutine made which.
//
// [Inspect] reads an executable file and says where runtime.g keeps its ids and where three probes may sit; it executes
// nothing and reads a bounded part of the file. [Probes] attaches the kernel side (bpf/goruntime.bpf.c) to the
// executable files of running processes and detaches it when the last process of a file is gone.
//
// Two questions are answered, both exactly:
//
//   - net/http's client writes a request from the connection's writeLoop goroutine. A probe at
//     (*persistConn).roundTrip, which runs in the caller's goroutine, notes the caller under the pair (connection,
//     request); a probe at (*Request).write, which runs in writeLoop, looks the pair up and reports a handoff from the
//     caller to writeLoop, before the request's first byte is written. A connection takes its next request only after
//     the previous one has been written (persistConn.wroteRequest), so a handoff holds until the next one of the same
//     goroutine.
//   - A goroutine that a request's handler starts, directly or through other goroutines, works for that request. A
//     probe in runtime.newproc, where the new goroutine has its ids and cannot run yet, reports each new goroutine with
//     its creator. The order of the records is the order of the events, because creation precedes whatever the new
//     goroutine does.
//
// Probes sit at instructions that the kernel emulates (push, call, conditional jumps), never at a function's return: a
// return probe writes to the stack, and Go programs die of it when the stack moves.
package goruntime
