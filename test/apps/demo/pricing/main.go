// Command pricing is the demo's price service: most answers are quick, some are slow, a few fail.
package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"time"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: pricing LISTEN")
	}
	http.HandleFunc("/price", func(w http.ResponseWriter, r *http.Request) {
		switch n := rand.IntN(100); {
		case n < 2:
			http.Error(w, "no price", http.StatusInternalServerError)
			return
		case n < 10:
			time.Sleep(40 * time.Millisecond)
		default:
			time.Sleep(time.Duration(1+n/20) * time.Millisecond)
		}
		fmt.Fprintf(w, "item %s costs %d\n", r.URL.Query().Get("item"), rand.IntN(1000))
	})
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
