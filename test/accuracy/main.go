// Command accuracy runs the exactness suite on the real kernel and writes what held as a table, with the table of
// confusions behind it.
//
//	accuracy [-o FILE] [-run PATTERN]
//
// The exit status is 1 if a case failed; the table is written all the same.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"millrace.dev/protocols/all/confusion"
)

// event is a line of `go test -json`.
type event struct {
	Action  string
	Test    string
	Output  string
	Elapsed float64
}

// result of one case.
type result struct {
	name    string
	outcome string
	seconds float64
}

func main() {
	output := flag.String("o", "", "file to write; standard output without it")
	pattern := flag.String("run", "", "only cases that match, as for go test -run")
	flag.Parse()
	failed, err := run(*output, *pattern)
	if err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(2)
	}
	if failed > 0 {
		fmt.Fprintf(os.Stderr, "accuracy: %d cases failed\n", failed)
		os.Exit(1)
	}
}

func run(output, pattern string) (failed int, err error) {
	arguments := []string{"test", "-json", "-count=1", "-timeout", "30m", "./e2e"}
	if pattern != "" {
		arguments = append(arguments, "-run", pattern)
	}
	command := exec.Command("go", arguments...)
	command.Stderr = os.Stderr
	lines, err := command.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := command.Start(); err != nil {
		return 0, fmt.Errorf("start the suite: %w", err)
	}
	results, err := read(lines)
	if err != nil {
		return 0, err
	}
	// A case that failed is in the table; the status says nothing more.
	if err := command.Wait(); err != nil && len(results) == 0 {
		return 0, fmt.Errorf("the suite did not run: %w", err)
	}
	page, failed := table(results)
	page += "\n" + confusion.Begin + "\n" + confusion.Table() + "\n" + confusion.End
	if output == "" {
		_, err = os.Stdout.WriteString(page)
		return failed, err
	}
	return failed, os.WriteFile(output, []byte(page), 0o644)
}

// read gives the results in the order in which cases began.
func read(lines io.Reader) ([]*result, error) {
	var order []*result
	byName := map[string]*result{}
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		var e event
		if err := json.Unmarshal(bytes.TrimSpace(scanner.Bytes()), &e); err != nil || e.Test == "" {
			continue
		}
		switch e.Action {
		case "run":
			r := &result{name: e.Test, outcome: "did not end"}
			byName[e.Test] = r
			order = append(order, r)
		case "pass", "fail", "skip":
			if r := byName[e.Test]; r != nil {
				r.outcome, r.seconds = e.Action, e.Elapsed
			}
			fmt.Fprintf(os.Stderr, "%s %s\n", e.Action, e.Test)
		case "output":
			if strings.Contains(e.Output, "_test.go:") {
				fmt.Fprint(os.Stderr, e.Output)
			}
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("read the suite's output: %w", err)
	}
	return order, nil
}

func table(results []*result) (page string, failed int) {
	var b strings.Builder
	passed, skipped := 0, 0
	for _, r := range results {
		switch r.outcome {
		case "pass":
			passed++
		case "skip":
			skipped++
		default:
			failed++
		}
	}
	var name unix.Utsname
	release := "unknown"
	if unix.Uname(&name) == nil {
		release = unix.ByteSliceToString(name.Release[:])
	}
	fmt.Fprintf(&b, "# Accuracy\n\nWritten by `make accuracy` on %s, kernel %s. Client and server are separate processes; each case checks the spans of both\n"+
		"ends against what the programs themselves measured: how many, method, path, status, body sizes, duration, parent. The cases are in\n"+
		"`test/e2e`; their comments state the tolerances.\n\n%d passed, %d failed, %d skipped.\n\n| case | result | seconds |\n|---|---|--:|\n",
		time.Now().UTC().Format("2006-01-02"), release, passed, failed, skipped)
	for _, r := range results {
		outcome := r.outcome
		if outcome != "pass" {
			outcome = "**" + outcome + "**"
		}
		fmt.Fprintf(&b, "| %s | %s | %.1f |\n", strings.TrimPrefix(r.name, "Test"), outcome, r.seconds)
	}
	return b.String(), failed
}
