// Command shopper is the demo's user: it asks the front end for pages at a steady rate until it is stopped.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"time"
)

func main() {
	url := flag.String("url", "http://127.0.0.1:18080", "front end")
	rate := flag.Int("rate", 20, "pages a second, 1 to 1000")
	duration := flag.Duration("for", time.Hour, "end after this time")
	flag.Parse()
	if *rate < 1 || *rate > 1000 {
		log.Fatal("-rate must be from 1 to 1000")
	}
	client := &http.Client{Timeout: 5 * time.Second}
	slots := make(chan struct{}, 64) // a front end that hangs must not pile up requests
	ticker := time.NewTicker(time.Second / time.Duration(*rate))
	end := time.After(*duration)
	for {
		select {
		case <-end:
			return
		case <-ticker.C:
		}
		select {
		case slots <- struct{}{}:
		default:
			continue
		}
		go func() {
			defer func() { <-slots }()
			response, err := client.Get(fmt.Sprintf("%s/?item=%d", *url, rand.IntN(10)))
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}()
	}
}
