// Package databases are clients of databases that tests run as processes of their own. Each prints what it did as one
// line of JSON: how often it sent each statement, as "operation rows error".
package databases

import (
	"encoding/json"
	"fmt"
	"os"
)

// Environment is the variable that makes the test's program such a client; its value says which. Its arguments follow.
const Environment = "MILLRACE_E2E_DATABASE"

// account counts statements.
type account map[string]int

func (a account) add(operation string, rows int, failure string) { a[Line(operation, rows, failure)]++ }

// Line is a statement in an account: rows is how many were returned, -1 if there is no result with rows.
func Line(operation string, rows int, failure string) string {
	text := operation
	if rows >= 0 {
		text += fmt.Sprint(" rows=", rows)
	}
	if failure != "" {
		text += " error=" + failure
	}
	return text
}

// Main runs the client and does not return, in a process that is to be one.
func Main() {
	which := os.Getenv(Environment)
	if which == "" {
		return
	}
	done := account{}
	run := map[string]func(account, []string) error{"memcached": memcached, "mysql": mysql, "mysql compressed": compressed, "encrypted": encrypted}[which]
	if err := run(done, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	text, err := json.Marshal(done)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(string(text))
	os.Exit(0)
}
