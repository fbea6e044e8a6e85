// Package service is the frame around every Millrace service: flags, configuration, logger, health endpoint, the
// connection to NATS, signals and exit codes. The root package of a service has a function Run, which blocks until its
// context ends; its command hands that to [Main], as the example shows.
package service
