// Package chaos runs decoders, enrichers, exporters and NATS as processes under an exactly counted load, while
// processes are killed, stopped, replaced, cut off and starved, and compares what reaches the backend with the truth:
// every span once, every trace whole, every count exact. docs/chaos.md says what is tried. `make test-chaos` runs all
// of it, `make test-chaos-short` what fits into a few minutes.
package chaos
