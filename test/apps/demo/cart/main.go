// Command cart is the demo's basket service: it keeps baskets in Redis.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: cart LISTEN REDIS")
	}
	store := &redis{address: os.Args[2]}
	http.HandleFunc("/cart", func(w http.ResponseWriter, r *http.Request) {
		item := r.URL.Query().Get("item")
		if _, err := store.do("INCR", "basket:"+item); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		count, err := store.do("GET", "basket:"+item)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		fmt.Fprintf(w, "%s items in the basket\n", count)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}

// redis is a small client with a pool of connections; enough of RESP for the demo's two commands.
type redis struct {
	address string
	pool    sync.Pool
}

type conn struct {
	net.Conn
	reader *bufio.Reader
}

func (r *redis) do(arguments ...string) (string, error) {
	c, _ := r.pool.Get().(*conn)
	if c == nil {
		dialed, err := net.Dial("tcp", r.address)
		if err != nil {
			return "", err
		}
		c = &conn{dialed, bufio.NewReader(dialed)}
	}
	reply, err := c.do(arguments)
	if err != nil {
		_ = c.Close() // It failed already.
		return "", err
	}
	r.pool.Put(c)
	return reply, nil
}

func (c *conn) do(arguments []string) (string, error) {
	var command strings.Builder
	fmt.Fprintf(&command, "*%d\r\n", len(arguments))
	for _, a := range arguments {
		fmt.Fprintf(&command, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := c.Write([]byte(command.String())); err != nil {
		return "", err
	}
	line, err := c.line()
	if err != nil || line == "" {
		return "", err
	}
	switch line[0] {
	case '$':
		if line == "$-1" {
			return "", nil
		}
		return c.line()
	case '-':
		return "", fmt.Errorf("redis: %s", line[1:])
	default:
		return line[1:], nil
	}
}

func (c *conn) line() (string, error) {
	line, err := c.reader.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}
