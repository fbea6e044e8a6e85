// Package enricher is the service that pairs the two sides of exchanges, resolves their traces, and turns them into
// spans with the identity of the processes behind them.
package enricher
