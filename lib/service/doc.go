// Package service is the frame around every Millrace service: flags, configuration, logger, health endpoint, the
// connection to NATS, signals and exit codes. The root package of a service has
//
//	func Run(ctx context.Context, env *service.Env) error
//
// which blocks until ctx ends, and its command is
//
//	func main() { os.Exit(service.Main("decoder", decoder.Run)) }
package service
