package live

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"millrace.dev/cmd/millrace/internal/spanview"
)

// Status is what the header of the screen says beside the model.
type Status struct {
	Node      string
	Processes int    // watched
	Lost      uint64 // events lost since the start, all causes
	Notice    string // for example why nothing is captured yet
}

// Render draws the screen as lines of at most width characters, at most height of them.
func Render(m *Model, status Status, now time.Time, width, height int) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }

	rows := m.Rows(now)
	add("Millrace on %s   %s   %d processes watched   %d spans   %d events lost", spanview.Printable(status.Node),
		now.Format("15:04:05"), status.Processes, m.Total(), status.Lost)
	if status.Notice != "" {
		add("%s", spanview.Printable(status.Notice))
	}
	add("")
	add("%-24s %-7s %-9s %10s %7s %9s %9s %9s", "SERVICE", "SIDE", "PROTOCOL", "RATE/s", "ERR %", "P50", "P95", "P99")
	if len(rows) == 0 {
		add("  waiting for traffic")
	}
	room := max(3, (height-8)/2)
	for i, r := range rows {
		if i == room && len(rows) > room+1 {
			add("  … and %d more", len(rows)-room)
			break
		}
		add("%-24s %-7s %-9s %10.1f %7.2f %9s %9s %9s", clip(spanview.Printable(r.Service), 24), spanview.KindWord(r.Kind), clip(r.Protocol, 9),
			r.Rate, 100*r.ErrorRate, latency(r.P50, r.Rate), latency(r.P95, r.Rate), latency(r.P99, r.Rate))
	}
	lines = append(lines, traces(m.Recent(), height-len(lines)-1)...)
	for i := range lines {
		lines[i] = clip(lines[i], width)
	}
	if len(lines) > height {
		lines = lines[:height]
	}
	return strings.Join(lines, "\n")
}

// traces picks the newest traces that fit into height lines, oldest of them first.
func traces(recent []Trace, height int) []string {
	var picked []string
	for i := len(recent) - 1; i >= 0; i-- {
		need := len(recent[i].Lines) + 2
		if len(picked)+need > height {
			continue
		}
		block := append([]string{"", "trace " + hex.EncodeToString(recent[i].ID[:])}, recent[i].Lines...)
		picked = append(block, picked...)
	}
	return picked
}

func latency(d time.Duration, rate float64) string {
	if rate == 0 {
		return "-"
	}
	return spanview.Duration(d)
}

// clip cuts s to width characters.
func clip(s string, width int) string {
	if width <= 0 || utf8.RuneCountInString(s) <= width {
		return s
	}
	runes := []rune(s)
	return string(runes[:width-1]) + "…"
}
