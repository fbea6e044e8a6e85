package capture

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"millrace.dev/lib/config"
	"millrace.dev/services/capture/internal/selection"
)

// Bounds of asking the capture that runs here.
const (
	askTimeout = 3 * time.Second
	maxReasons = 64 << 10
)

// podRules says how many rules of discovery name pods, and whether they are decided about. An enricher decides and
// capture is told, so the capture that runs on this machine is asked, by its /readyz.
func (r *doctor) podRules(ctx context.Context, cfg *config.Config) {
	const name = "rules about pods"
	rules, err := selection.New(cfg.Discovery, uint32(os.Getpid()))
	if err != nil {
		r.say("missing", name, err.Error())
		return
	}
	n := len(rules.PodRules())
	if n == 0 {
		r.say("ok", name, "none in discovery: a pod's annotation millrace.dev/observe alone decides, and it needs an enricher that watches the cluster")
		return
	}
	if !inCluster(cfg) {
		r.say("limited", name, fmt.Sprintf("%d; this is no pod of a cluster, and attributes.kubernetes.enable is not true: unless an enricher "+
			"decides about this node, those of services match nothing, and those of exclude_services every pod", n))
		return
	}
	ready, reasons, err := askReady(ctx, cfg.Telemetry.Listen)
	if err != nil {
		r.say("unknown", name, fmt.Sprintf("%d; no capture answers at telemetry.listen, which would know whether they are decided about: %v", n, err))
		return
	}
	for reason := range strings.Lines(reasons) {
		if why, found := strings.CutPrefix(strings.TrimSpace(reason), podsComponent+": "); found && !ready {
			r.say("limited", name, fmt.Sprintf("%d: %s", n, why))
			return
		}
	}
	r.say("ok", name, fmt.Sprintf("%d, and an enricher decides which of this node's pods they match", n))
}

// askReady gives what a service on this machine says of its readiness.
func askReady(ctx context.Context, listen string) (ready bool, reasons string, err error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, "", fmt.Errorf("telemetry.listen: %w", err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return false, "", fmt.Errorf("telemetry.listen: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, "", fmt.Errorf("ask: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReasons))
	if err != nil {
		return false, "", fmt.Errorf("ask: %w", err)
	}
	return response.StatusCode == http.StatusOK, string(body), nil
}
