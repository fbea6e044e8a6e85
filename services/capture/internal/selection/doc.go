// Package selection decides which processes are watched, by the rules of config.Discovery. It is pure: facts in,
// decision out.
package selection
