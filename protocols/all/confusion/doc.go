// Package confusion is the table of confusions: what each stage takes the first bytes of connections for. It holds
// first bytes of every protocol of the list and of many others, and makes cases of them: whole, cut, shifted, damaged,
// answered by anything, joined in the middle, and bytes at random. Each stage is tested with [Cases] and has to judge
// as [Case.Judge] does; [Table] counts what comes out, for docs/accuracy.md. [Lookalikes] are whole conversations of
// protocols that are not decoded. The package serves tests.
package confusion
