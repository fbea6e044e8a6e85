package plugin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"millrace.dev/lib/bus"
	"millrace.dev/lib/bus/access"
	"millrace.dev/lib/bus/operator"
	"millrace.dev/lib/config"
)

// Entries of the Secret NAME-observer, which `millrace release keys` keeps. Who may read it is an administrator's
// decision, as with every Secret.
const (
	observerSecret    = "-observer"
	entryAccount      = "account.pub"
	entrySigningKey   = "role-" + access.Observer + ".nk"
	entryAuthority    = "ca.pem"
	entryCertificate  = "tls.crt"
	entryKey          = "tls.key"
	natsService       = "-nats"
	captureController = "-capture"
)

// Lifetime is how long a credential is good for that a tool of this package makes for itself.
const Lifetime = time.Hour

// natsPort is where NATS's pods take clients.
const natsPort = 4222

// Bus connects to the release's NATS in the role observer, through the API server. observe is told of the connection's
// state and may be nil. The connection is made anew, to another pod and with another credential if need be, until ctx
// ends.
func (r *Release) Bus(ctx context.Context, observe bus.Observer) (*bus.Conn, error) {
	if len(r.of(componentNATS)) == 0 {
		return nil, fmt.Errorf("release %s has no NATS of its own: run `millrace observe` with bus.url and a credential of the role observer "+
			"for the one that it uses", r)
	}
	name, err := r.fullName()
	if err != nil {
		return nil, err
	}
	secret, err := r.secret(ctx, name+observerSecret)
	if err != nil {
		return nil, err
	}
	security, err := secure(secret)
	if err != nil {
		return nil, fmt.Errorf("Secret %s/%s: %w", r.Namespace, secret.Name, err) //nolint:revive,staticcheck // The kind's name.
	}
	options := append(slices.Clone(security),
		nats.SetCustomDialer(podDialer{ctx: ctx, release: r, component: componentNATS, port: natsPort}),
		// Names of the cluster mean nothing on this machine; the dialer knows where to go.
		nats.SkipHostLookup(), nats.IgnoreDiscoveredServers(),
		nats.CustomInboxPrefix(access.InboxPrefix(access.Observer, "")),
	)
	cfg := config.Default().Bus
	cfg.URL = fmt.Sprintf("tls://%s%s.%s.svc:%d", name, natsService, r.Namespace, natsPort) // As in the server's certificate.
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := bus.ConnectObserved(connecting, cfg, "millrace-"+access.Observer, observe, options...)
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", r, err)
	}
	return conn, nil
}

// connectTimeout bounds the attempts to connect.
const connectTimeout = 20 * time.Second

// fullName is what the names of the release's objects begin with, from that of capture's DaemonSet.
func (r *Release) fullName() (string, error) {
	for _, pod := range r.of(componentCapture) {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
			if name, found := strings.CutSuffix(owner.Name, captureController); found {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("release %s has no capture pod, by which its Secrets are found: `kubectl -n %s get daemonsets` says why", r, r.Namespace)
}

// secret reads what credentials are made from.
func (r *Release) secret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := r.cluster.client.Get().Namespace(r.Namespace).Resource("secrets").Name(name).Do(ctx).Into(secret)
	switch {
	case apierrors.IsForbidden(err):
		return nil, fmt.Errorf("whoever may see the traffic of release %s may read its Secret %s, and you may not: %w", r, name, err)
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("release %s has no Secret %s: was it installed by the chart? %w", r, name, err)
	case err != nil:
		return nil, fmt.Errorf("read Secret %s: %w", name, r.cluster.explain(err))
	}
	return secret, nil
}

// secure gives what NATS wants to see of a client, and what this client wants to see of NATS.
func secure(secret *corev1.Secret) ([]nats.Option, error) {
	issuer, err := operator.NewIssuer(access.Observer, strings.TrimSpace(string(secret.Data[entryAccount])), secret.Data[entrySigningKey])
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", entryAccount, entrySigningKey, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(secret.Data[entryAuthority]) {
		return nil, fmt.Errorf("%s has no certificate in PEM", entryAuthority)
	}
	pair, err := tls.X509KeyPair(secret.Data[entryCertificate], secret.Data[entryKey])
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", entryCertificate, entryKey, err)
	}
	u := &user{issuer: issuer}
	return []nats.Option{
		nats.Secure(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}),
		nats.UserJWT(u.token, u.sign),
	}, nil
}

// user is who connects, with a credential that is issued anew once half of its time has passed.
type user struct {
	issuer *operator.Issuer

	mu     sync.Mutex
	issued time.Time
	jwt    string
	pair   nkeys.KeyPair
}

// token gives NATS's client what to connect with, at each connect.
func (u *user) token() (string, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if u.jwt != "" && now.Sub(u.issued) < Lifetime/2 {
		return u.jwt, nil
	}
	credentials, err := u.issuer.Issue("", Lifetime)
	if err != nil {
		return "", err
	}
	pair, err := nkeys.ParseDecoratedUserNKey(credentials)
	if err != nil {
		return "", fmt.Errorf("issue a credential: %w", err)
	}
	jwt, err := nkeys.ParseDecoratedJWT(credentials)
	if err != nil {
		return "", fmt.Errorf("issue a credential: %w", err)
	}
	u.issued, u.jwt, u.pair = now, jwt, pair
	return jwt, nil
}

// sign answers the server's challenge.
func (u *user) sign(nonce []byte) ([]byte, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.pair.Sign(nonce) //nolint:wrapcheck // NATS's client says what it wanted.
}
