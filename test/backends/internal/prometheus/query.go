package prometheus

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Sample is one series of an answer, with its newest value.
type Sample struct {
	Labels map[string]string
	Value  float64
	// Histogram of a native histogram's series, else nil.
	Histogram *Histogram
}

// Histogram is a native histogram. Each bucket is [boundary rule, lower bound, upper bound, count].
type Histogram struct {
	Count   string  `json:"count"`
	Sum     string  `json:"sum"`
	Buckets [][]any `json:"buckets"`
}

// Key is the values of the labels, joined by spaces; "-" stands for a label that the series does not have.
func (s Sample) Key(labels ...string) string {
	parts := make([]string, len(labels))
	for i, label := range labels {
		parts[i] = s.Labels[label]
		if parts[i] == "" {
			parts[i] = "-"
		}
	}
	return strings.Join(parts, " ")
}

// Query asks an instant query.
func (s *Server) Query(expression string) ([]Sample, error) {
	var answer struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	}
	if err := s.get("/api/v1/query", url.Values{"query": {expression}}, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	if answer.Type == "scalar" {
		var pair [2]any
		if err := json.Unmarshal(answer.Result, &pair); err != nil {
			return nil, err
		}
		value, err := number(pair[1])
		return []Sample{{Labels: map[string]string{}, Value: value}}, err
	}
	var series []struct {
		Metric    map[string]string `json:"metric"`
		Value     [2]any            `json:"value"`
		Histogram [2]any            `json:"histogram"`
	}
	if err := json.Unmarshal(answer.Result, &series); err != nil {
		return nil, fmt.Errorf("%s: %w", expression, err)
	}
	samples := make([]Sample, len(series))
	for i, one := range series {
		samples[i].Labels = one.Metric
		if one.Histogram[1] != nil {
			text, err := json.Marshal(one.Histogram[1])
			if err != nil {
				return nil, err
			}
			samples[i].Histogram = &Histogram{}
			if err := json.Unmarshal(text, samples[i].Histogram); err != nil {
				return nil, err
			}
			continue
		}
		value, err := number(one.Value[1])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expression, err)
		}
		samples[i].Value = value
	}
	return samples, nil
}

// Exemplar is an exemplar with the labels of its series.
type Exemplar struct {
	Series  map[string]string
	TraceID string
	SpanID  string
	Value   float64
}

// Exemplars gives the exemplars of the series that the expression reads, of the last hour.
func (s *Server) Exemplars(expression string) ([]Exemplar, error) {
	var answer []struct {
		Series    map[string]string `json:"seriesLabels"`
		Exemplars []struct {
			Labels map[string]string `json:"labels"`
			Value  string            `json:"value"`
		} `json:"exemplars"`
	}
	now := time.Now()
	values := url.Values{"query": {expression}, "start": {stamp(now.Add(-time.Hour))}, "end": {stamp(now.Add(time.Minute))}}
	if err := s.get("/api/v1/query_exemplars", values, &answer); err != nil {
		return nil, fmt.Errorf("exemplars of %s: %w", expression, err)
	}
	var out []Exemplar
	for _, series := range answer {
		for _, e := range series.Exemplars {
			value, err := number(e.Value)
			if err != nil {
				return nil, err
			}
			out = append(out, Exemplar{series.Series, e.Labels["trace_id"], e.Labels["span_id"], value})
		}
	}
	return out, nil
}

// LabelValues gives the values of a label among the series that the selector matches; an empty selector matches all.
func (s *Server) LabelValues(label, selector string) ([]string, error) {
	values := url.Values{}
	if selector != "" {
		values.Set("match[]", selector)
	}
	var out []string
	err := s.get("/api/v1/label/"+url.PathEscape(label)+"/values", values, &out)
	return out, err
}

// Alerts gives the alerts that are pending or firing, with their labels.
func (s *Server) Alerts() ([]map[string]string, error) {
	var answer struct {
		Alerts []struct {
			Labels map[string]string `json:"labels"`
		} `json:"alerts"`
	}
	err := s.get("/api/v1/alerts", nil, &answer)
	var out []map[string]string
	for _, a := range answer.Alerts {
		out = append(out, a.Labels)
	}
	return out, err
}

// Rule is a rule that the server evaluates.
type Rule struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Health    string `json:"health"`
	LastError string `json:"lastError"`
}

// Rules gives every rule and whether its last evaluation went well.
func (s *Server) Rules() ([]Rule, error) {
	var answer struct {
		Groups []struct {
			Rules []Rule `json:"rules"`
		} `json:"groups"`
	}
	err := s.get("/api/v1/rules", nil, &answer)
	var out []Rule
	for _, group := range answer.Groups {
		out = append(out, group.Rules...)
	}
	return out, err
}

// ScrapeFailures gives the last errors of the targets.
func (s *Server) ScrapeFailures() ([]string, error) {
	var answer struct {
		Active []struct {
			URL   string `json:"scrapeUrl"`
			Error string `json:"lastError"`
		} `json:"activeTargets"`
	}
	err := s.get("/api/v1/targets", nil, &answer)
	var out []string
	for _, target := range answer.Active {
		if target.Error != "" {
			out = append(out, target.URL+": "+target.Error)
		}
	}
	return out, err
}

func (s *Server) get(path string, values url.Values, into any) error {
	response, err := http.Get(s.URL + path + "?" + values.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s %.200s: %w", response.Status, body, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("prometheus: %s", answer.Error)
	}
	return json.Unmarshal(answer.Data, into)
}

func number(v any) (float64, error) {
	text, ok := v.(string)
	if !ok {
		return 0, fmt.Errorf("%v is no value of Prometheus", v)
	}
	return strconv.ParseFloat(text, 64)
}

func stamp(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
