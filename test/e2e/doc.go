// Package e2e holds the tests that treat Millrace as a black box: a real process, the real kernel, and traffic programs
// whose every system call is known. Each test compares the spans of both ends of each exchange with what the programs
// measured themselves.
//
// The tests need root and a kernel that Millrace supports; without these they skip. MILLRACE names a built millrace;
// without it the tests build one. MILLRACE_E2E_TRUTH_ONLY plays the traffic alone, MILLRACE_E2E_KEEP keeps what the
// tests wrote. Traffic stays on loopback addresses and in network namespaces that the tests make.
package e2e
