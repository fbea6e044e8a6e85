package shop

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
)

// wall answers everything with 204.
type wall struct{}

func (wall) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// crowdBatch is how many requests go out in one write.
const crowdBatch = 16

// crowd makes requests that each have a path of their own, in words that no rule about digits takes for identifiers.
func (n *Node) crowd() error {
	failures := make([]error, n.Concurrency)
	var wg sync.WaitGroup
	for worker := range n.Concurrency {
		wg.Go(func() { failures[worker] = n.walk(worker) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

func (n *Node) walk(worker int) error {
	c, err := net.Dial("tcp", n.Wall)
	if err != nil {
		return err
	}
	defer c.Close()
	reader := bufio.NewReaderSize(c, 64<<10)
	var batch []byte
	for k := worker; k < n.Requests; {
		batch = batch[:0]
		asked := 0
		for ; asked < crowdBatch && k < n.Requests; k += n.Concurrency {
			batch = fmt.Appendf(batch, "GET %s HTTP/1.1\r\nHost: wall\r\n\r\n", CrowdPath(n.First+k))
			asked++
		}
		if _, err := c.Write(batch); err != nil {
			return err
		}
		for range asked {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				return err
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if response.StatusCode != http.StatusNoContent {
				return errors.New(response.Status)
			}
		}
	}
	return nil
}

// CrowdPath is the path of request n of a crowd: different for each n, and letters only.
func CrowdPath(n int) string {
	word := make([]byte, 0, 8)
	for ; len(word) < 6 || n > 0; n /= 20 {
		word = append(word, "bcdfghklmnprstvwzaei"[n%20])
	}
	return "/find/" + string(word[:3]) + "/" + string(word[3:])
}
