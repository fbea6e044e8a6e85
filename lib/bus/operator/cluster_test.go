package operator_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
)

// TestCluster starts the delivered cluster of three and has an administrator make streams of three replicas.
func TestCluster(t *testing.T) {
	s := newSite(t) // Its own server is not part of the cluster.
	routes := []string{`"0.0.0.0:6222"`, ""}
	var addresses []string
	for i := range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addresses = append(addresses, l.Addr().String())
		routes = append(routes, fmt.Sprintf("nats-%d:6222", i), l.Addr().String())
		_ = l.Close()
	}
	var servers []*server.Server
	for i, address := range addresses {
		name := fmt.Sprintf("nats-%d", i)
		t.Setenv("NATS_NAME", name)
		s.delivered(t, "nats-server.conf", "server-"+name+".conf", name)
		routes[1] = `"` + address + `"`
		file := s.delivered(t, "cluster.conf", name+".conf", "", append(routes, `"nats-server.conf"`, `"server-`+name+`.conf"`)...)
		servers = append(servers, start(t, file))
	}
	for _, ns := range servers {
		if !ns.ReadyForConnections(30 * time.Second) {
			t.Fatal("a server is not ready")
		}
	}
	cfg := s.of(t, access.Admin, "")
	cfg.Replicas, cfg.URL = 3, "tls://"+servers[1].Addr().String()
	conn, err := bus.Connect(bounded(t), cfg, "millrace-admin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	// It takes some seconds until there is a leader.
	err = errors.New("not tried")
	for end := time.Now().Add(30 * time.Second); err != nil && time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		attempt, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		err = bus.EnsureStreams(attempt, conn)
		cancel()
	}
	if err != nil {
		t.Fatal(err)
	}
	info, err := conn.JetStream().Stream(bounded(t), bus.StreamRaw)
	if err != nil {
		t.Fatal(err)
	}
	if c := info.CachedInfo(); c.Config.Replicas != 3 || c.Cluster == nil || len(c.Cluster.Replicas) != 2 {
		t.Errorf("%+v", c.Cluster)
	}
}
