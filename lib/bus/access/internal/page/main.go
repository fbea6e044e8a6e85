// Command page writes docs/permissions.md.
package main

import (
	"fmt"
	"os"

	"millrace.dev/lib/bus/access"
)

func main() {
	if err := os.WriteFile(os.Args[1], []byte(access.Page()), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "page:", err)
		os.Exit(1)
	}
}
