package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stores keeps idle connections to Redis servers. A command is written and its reply read by the goroutine that wants
// it.
type stores struct {
	limit int
	mu    sync.Mutex
	idle  map[string][]*store
}

type store struct {
	connection net.Conn
	reader     *bufio.Reader
}

func newStores(limit int) *stores { return &stores{limit: limit, idle: map[string][]*store{}} }

// remember sets a key and reads it back: two commands, one after the other.
func (s *stores) remember(address, id string) error {
	c, err := s.take(address)
	if err != nil {
		return err
	}
	if err := c.remember(id); err != nil {
		c.connection.Close()
		return fmt.Errorf("redis %s: %w", address, err)
	}
	s.put(address, c)
	return nil
}

func (s *stores) take(address string) (*store, error) {
	s.mu.Lock()
	if idle := s.idle[address]; len(idle) > 0 {
		c := idle[len(idle)-1]
		s.idle[address] = idle[:len(idle)-1]
		s.mu.Unlock()
		return c, nil
	}
	s.mu.Unlock()
	connection, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, err
	}
	return &store{connection, bufio.NewReader(connection)}, nil
}

func (s *stores) put(address string, c *store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.idle[address]) >= s.limit {
		c.connection.Close()
		return
	}
	s.idle[address] = append(s.idle[address], c)
}

func (c *store) remember(id string) error {
	key := "edge:" + id
	if reply, err := c.command("SET", key, id); err != nil || reply != "OK" {
		return fmt.Errorf("SET gave %q: %w", reply, orUnexpected(err))
	}
	if reply, err := c.command("GET", key); err != nil || reply != id {
		return fmt.Errorf("GET gave %q: %w", reply, orUnexpected(err))
	}
	return nil
}

func orUnexpected(err error) error {
	if err == nil {
		return fmt.Errorf("unexpected reply")
	}
	return err
}

// command sends one command and reads a simple or bulk string,
// https://redis.io/docs/latest/develop/reference/protocol-spec.
func (c *store) command(words ...string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	if err := c.connection.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c.connection, b.String()); err != nil {
		return "", err
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	switch {
	case strings.HasPrefix(line, "+"):
		return line[1:], nil
	case strings.HasPrefix(line, "$"):
		n, err := strconv.Atoi(line[1:])
		if err != nil || n < 0 || n > 1<<20 {
			return "", fmt.Errorf("bad length %q", line)
		}
		value := make([]byte, n+2)
		if _, err := io.ReadFull(c.reader, value); err != nil {
			return "", err
		}
		return string(value[:n]), nil
	}
	return "", fmt.Errorf("reply %q", line)
}
