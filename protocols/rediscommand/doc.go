// Package rediscommand is what the node and the decoder both know of Redis commands: which of their arguments are keys,
// fields, options and numbers, which may be shown. All others are values. The node blanks values before anything leaves
// it, the decoder writes "?" for them; both must mean the same, so there is one table.
//
// A command that is not in the table has no argument that may be shown, and its name is not shown either unless it has
// the form of a well-known module's ([Named]).
package rediscommand
