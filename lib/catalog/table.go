package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

//go:generate go run ./internal/table ../../docs/metrics.md

const (
	tableBegin = "<!-- Generated from lib/catalog by \"go generate ./catalog\" in lib. Do not edit until the end of the list. -->\n"
	tableEnd   = "<!-- End of the list. -->\n"
)

// Insert puts the list of metrics into a page, in the place of the one that is there.
func Insert(page []byte) ([]byte, error) {
	before, rest, found := bytes.Cut(page, []byte(tableBegin))
	_, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !found || !ends {
		return nil, errors.New("the place of the list of metrics is not marked")
	}
	return fmt.Appendf(nil, "%s%s\n%s\n%s%s", before, tableBegin, table(), tableEnd, after), nil
}

// sections of the list, each with the metrics whose first feature it is.
var sections = []struct {
	feature Feature
	title   string
}{
	{Application, "`application`, `application_host`, `application_process`"},
	{ApplicationSpan, "`application_span`"},
	{ApplicationHost, "`application_host` alone"},
	{ApplicationServiceGraph, "`application_service_graph`"},
	{Network, "`network`"},
	{NetworkFlowPackets, "`network_flow_packets`"},
	{NetworkInterZone, "`network_inter_zone`"},
	{Stats, "`stats`"},
}

func table() string {
	var b strings.Builder
	for _, section := range sections {
		fmt.Fprintf(&b, "**%s**\n\n| metric | for Prometheus | kind, unit | what it is | attributes | may be added |\n|---|---|---|---|---|---|\n", section.title)
		for i := range metrics {
			if m := &metrics[i]; m.Features[0] == section.feature {
				fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", m.Name, m.Prometheus, kindText(m), m.Description, names(m.Attributes), names(m.Optional))
			}
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

func kindText(m *Metric) string {
	kind := map[Kind]string{Counter: "counter", Histogram: "histogram", Info: "info"}[m.Kind]
	if m.Unit != "" {
		kind += ", " + m.Unit
	}
	return kind
}

func names(list []string) string {
	quoted := make([]string, len(list))
	for i, name := range list {
		quoted[i] = "`" + name + "`"
	}
	return strings.Join(quoted, " ")
}
