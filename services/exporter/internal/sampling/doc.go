// Package sampling decides which traces are kept, on whole traces. It is pure: spans, time and settings in, spans and
// notices out.
//
// A [Sampler] is the processor of one partition of the span stream. It groups spans by trace id, waits for the decision
// time, asks the [Policies] and publishes what they keep. Spans stay encoded: of each it reads once, on arrival, what
// the policies need to know (facts), and keeps the bytes.
//
// Decisions are functions of the records and their times. A trace's decision time is measured from the record that
// brought its first span and lies on a grid, and what arrives at or after it is late, whenever ticks came. So a replay
// decides the same.
//
// To add a policy: its section in lib/config, an evaluator in evaluators.go, a case in compile, a row in
// docs/sampling.md. A policy that looks at attributes adds conditions, which are checked as spans arrive.
package sampling
