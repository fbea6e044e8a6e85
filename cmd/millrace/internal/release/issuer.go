package release

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
)

// CredentialPath is where a capture asks for its credential: POST with its token as the bearer's, and the rotation that
// it waits for in the query. The answer is the contents of a .creds file.
const CredentialPath = "/v1/credential"

// Issuer gives each node's capture a credential of its own. The API server says on which node a pod runs that shows a
// token bound to it, so no node can ask for another's. It is safe for concurrent use.
type Issuer struct {
	API *API
	// Account is the service account of capture's pods, "namespace:name"; Audience what its tokens are made for.
	Account, Audience string
	// Dir holds the entries of the Secret NAME-admin. They are read at each request: they may be replaced.
	Dir string
	Log *slog.Logger

	requests *prometheus.CounterVec
}

// refusal is an error that is told to whoever asked.
type refusal struct{ reason string }

func (r *refusal) Error() string { return r.reason }

// maxReviews bounds the reviews of tokens at a time, so that nobody has the API server asked without end.
const maxReviews = 16

// Register makes the metrics.
func (i *Issuer) Register(registry prometheus.Registerer) error {
	i.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "millrace_admin_credentials_total",
		Help: "Requests for a credential of a node, by outcome: issued, refused, failed.",
	}, []string{"outcome"})
	for _, outcome := range []string{"issued", "refused", "failed"} {
		i.requests.WithLabelValues(outcome)
	}
	if err := registry.Register(i.requests); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// Serve answers requests at the address until ctx ends.
func (i *Issuer) Serve(ctx context.Context, address string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for requests for credentials: %w", err)
	}
	return i.serve(ctx, listener)
}

func (i *Issuer) serve(ctx context.Context, listener net.Listener) error {
	busy := make(chan struct{}, maxReviews)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+CredentialPath, func(w http.ResponseWriter, r *http.Request) {
		select {
		case busy <- struct{}{}:
			defer func() { <-busy }()
			i.answer(w, r)
		default:
			http.Error(w, "too many ask at the same time", http.StatusServiceUnavailable)
		}
	})
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10, ErrorLog: slog.NewLogLogger(i.Log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(filepath.Join(i.Dir, entryCertificate), filepath.Join(i.Dir, entryKey))
			return &pair, err
		}},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) || ctx.Err() == nil {
		return fmt.Errorf("serve requests for credentials: %w", err)
	}
	return nil
}

func (i *Issuer) answer(w http.ResponseWriter, r *http.Request) {
	node, credentials, err := i.issue(r)
	var refused *refusal
	switch {
	case err == nil:
		i.requests.WithLabelValues("issued").Inc()
		i.Log.Info("issued a credential of capture", "node", node)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(credentials) // Who has gone asks again.
	case errors.As(err, &refused):
		i.requests.WithLabelValues("refused").Inc()
		http.Error(w, err.Error(), http.StatusForbidden)
	default:
		i.requests.WithLabelValues("failed").Inc()
		i.Log.Warn("cannot issue a credential of capture", "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
}

func (i *Issuer) issue(r *http.Request) (node string, credentials []byte, err error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !found || token == "" {
		return "", nil, &refusal{"a token of capture's service account is needed"}
	}
	who, err := i.API.review(r.Context(), token, i.Audience)
	switch {
	case err != nil:
		return "", nil, err
	case who.user != "system:serviceaccount:"+i.Account:
		return "", nil, &refusal{"the token is that of " + who.user + ", and only capture gets credentials"}
	case who.node == "":
		return "", nil, &refusal{"the token is not bound to a pod on a node; clusters say on which from Kubernetes 1.30 on"}
	}
	files := map[string][]byte{entryAccount: nil, entryRotation: nil, "role-" + access.Capture + ".nk": nil}
	for name := range files {
		if files[name], err = os.ReadFile(filepath.Join(i.Dir, name)); err != nil {
			return "", nil, fmt.Errorf("keys: %w", err)
		}
	}
	if want := r.URL.Query().Get("rotation"); want != string(files[entryRotation]) {
		return "", nil, fmt.Errorf("the keys here are those of rotation %q, not of %q: not yet", files[entryRotation], want)
	}
	issuer, err := operator.NewIssuer(access.Capture, string(files[entryAccount]), files["role-"+access.Capture+".nk"])
	if err != nil {
		return "", nil, err
	}
	credentials, err = issuer.Issue(who.node, 0)
	return who.node, credentials, err
}
