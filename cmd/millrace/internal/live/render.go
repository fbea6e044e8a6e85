package live

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	millracev1 "millrace.dev/proto/millrace/v1"

	"millrace.dev/cmd/millrace/internal/servicefeed"
	"millrace.dev/cmd/millrace/internal/spanview"
)

// Status is what the header of the screen says beside the model.
type Status struct {
	Node      string
	Processes int    // watched
	Lost      uint64 // events lost since the start, all causes
	Notice    string // for example why nothing is captured yet
	// Services that listen; those without spans are shown too.
	Services []servicefeed.Service
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
	room := max(3, (height-8)/2)
	for i, r := range rows {
		if i == room && len(rows) > room+1 {
			add("  … and %d more", len(rows)-room)
			break
		}
		add("%-24s %-7s %-9s %10.1f %7.2f %9s %9s %9s", clip(spanview.Printable(r.Service), 24), spanview.KindWord(r.Kind), clip(r.Protocol, 9),
			r.Rate, 100*r.ErrorRate, latency(r.P50, r.Rate), latency(r.P95, r.Rate), latency(r.P99, r.Rate))
	}
	if idle := silent(rows, status.Services); len(idle) > 0 {
		add("")
		lines = append(lines, wrap("without traffic yet: ", idle, width, 3)...)
	} else if len(rows) == 0 {
		add("  waiting for traffic")
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

// silent names the services that have no row as a server, with their ports.
func silent(rows []Row, services []servicefeed.Service) []string {
	busy := map[string]bool{}
	for _, r := range rows {
		busy[r.Service] = busy[r.Service] || r.Kind == millracev1.SpanKind_SPAN_KIND_SERVER
	}
	var names []string
	for _, s := range services {
		if busy[s.Name] {
			continue
		}
		ports := make([]string, 0, 3)
		for i, port := range s.Ports {
			if i == 3 {
				ports = append(ports, "…")
				break
			}
			ports = append(ports, strconv.Itoa(int(port)))
		}
		names = append(names, spanview.Printable(s.Name)+":"+strings.Join(ports, ","))
	}
	return names
}

// wrap spreads words over at most so many lines of a width.
func wrap(title string, words []string, width, most int) []string {
	lines := []string{title}
	for i, word := range words {
		last := len(lines) - 1
		if len(lines[last])+len(word)+2 > width && lines[last] != title {
			if len(lines) == most {
				lines[last] += fmt.Sprintf("… and %d more", len(words)-i)
				break
			}
			lines = append(lines, "  ")
			last++
		}
		lines[last] += word + "  "
	}
	return lines
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
