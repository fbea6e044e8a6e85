// Command bench measures Millrace's budgets, each beside a run without the agent, and writes a table of them.
//
// It needs root, redis-server and redis-benchmark. Loads are short and runs alternate, so that what else the machine
// does falls on both sides; the median of the runs is reported.
package main
