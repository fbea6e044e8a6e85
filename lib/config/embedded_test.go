package config

import (
	"strings"
	"testing"
)

// An address that others can reach needs users, however it is written.
func TestEmbeddedListen(t *testing.T) {
	t.Parallel()
	for listen, local := range map[string]bool{
		"": true, "127.0.0.1:4222": true, "127.8.8.8:0": true, "[::1]:4222": true, "[::ffff:127.0.0.1]:4222": true, "localhost:4222": true,
		"LocalHost.:4222": true,
		":4222":           false, "0.0.0.0:4222": false, "[::]:4222": false, "10.0.0.1:4222": false, "[fe80::1%eth0]:4222": false,
		"example.org:4222": false, "127.1:4222": false, "0:4222": false, "localhost.example.org:4222": false, "[::ffff:10.0.0.1]:4222": false,
		"127.0.0.1.example.org:4222": false,
	} {
		c := Default()
		c.Bus.Embedded.Listen = listen
		err := c.Validate()
		switch {
		case local && err != nil:
			t.Errorf("%q: %v", listen, err)
		case !local && (err == nil || !strings.Contains(err.Error(), "bus.embedded.users_file")):
			t.Errorf("%q without users: %v", listen, err)
		}
		c.Bus.Embedded.UsersFile = "users"
		if err := c.Validate(); err != nil {
			t.Errorf("%q with users: %v", listen, err)
		}
		c.Bus.Embedded.UsersFile, c.Bus.URL = "", "nats://10.0.0.5:4222"
		if err := c.Validate(); err != nil {
			t.Errorf("%q is not used beside a server of its own: %v", listen, err)
		}
	}
	for _, listen := range []string{"unix:/run/millrace.sock", "/run/millrace.sock", "4222"} {
		c := Default()
		c.Bus.Embedded.Listen = listen
		if c.Validate() == nil {
			t.Errorf("%q is taken", listen)
		}
	}
	c := Default()
	c.Bus.Embedded.Listen, c.Bus.Embedded.CertFile, c.Bus.Embedded.KeyFile = "127.0.0.1:4222", "a", "b"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "users_file") {
		t.Errorf("a certificate without users: %v", err)
	}
}
