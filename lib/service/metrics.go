package service

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus"
)

// observeConnection registers the metrics of a connection.
func observeConnection(registry prometheus.Registerer, conn *bus.Conn) error {
	for _, c := range []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "millrace_bus_pending_bytes", Help: "Bytes published and not acknowledged by NATS; publishing waits at bus.max_pending.",
		}, func() float64 { return float64(conn.PendingBytes()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "millrace_bus_connected", Help: "1 while there is a connection to NATS.",
		}, func() float64 {
			if conn.NATS().IsConnected() {
				return 1
			}
			return 0
		}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "millrace_bus_reconnects_total", Help: "Times that the connection to NATS was made again.",
		}, func() float64 { return float64(conn.NATS().Stats().Reconnects) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "millrace_bus_denied_total", Help: "Requests that NATS refused to the credentials of this service.",
		}, func() float64 { return float64(conn.Denied()) }),
	} {
		if err := registry.Register(c); err != nil {
			return fmt.Errorf("register metrics of the connection: %w", err)
		}
	}
	return nil
}
