package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream" //nolint:staticcheck // Deprecated, and what client-go's dialer gives.
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// maxForwardError bounds what the kubelet says of a connection that it could not make.
const maxForwardError = 4 << 10

// dialPod connects to a port of a pod through the API server, as `kubectl port-forward` does, but without a port on
// this machine, which others could use.
func (c *Cluster) dialPod(namespace, pod string, port int) (net.Conn, error) {
	at := c.client.Post().Namespace(namespace).Resource("pods").Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return nil, fmt.Errorf("forward a port of %s/%s: %w", namespace, pod, err)
	}
	tunnel, err := portforward.NewSPDYOverWebsocketDialer(at, c.config)
	if err != nil {
		return nil, fmt.Errorf("forward a port of %s/%s: %w", namespace, pod, err)
	}
	dialer := portforward.NewFallbackDialer(tunnel, spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, at), refusedUpgrade)
	session, _, err := dialer.Dial(portforward.PortForwardProtocolV1Name)
	if err != nil {
		return nil, fmt.Errorf("forward a port of %s/%s (it takes the right to create pods/portforward): %w", namespace, pod, c.explain(err))
	}
	conn, err := streams(session, port)
	if err != nil {
		_ = session.Close()
		return nil, fmt.Errorf("forward port %d of %s/%s: %w", port, namespace, pod, err)
	}
	return conn, nil
}

// refusedUpgrade: the API server, or a proxy on the way to it, does not know the protocol of the first attempt.
func refusedUpgrade(err error) bool {
	return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
}

// streams opens the two streams of a forwarded connection: of data, and of what went wrong.
func streams(session httpstream.Connection, port int) (net.Conn, error) {
	headers := http.Header{}
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	headers.Set(corev1.PortHeader, strconv.Itoa(port))
	headers.Set(corev1.PortForwardRequestIDHeader, "0")
	failures, err := session.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	_ = failures.Close() // We write nothing to it.
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := session.CreateStream(headers)
	if err != nil {
		return nil, fmt.Errorf("open a stream: %w", err)
	}
	// A pipe has the deadlines that a stream has not.
	near, far := net.Pipe()
	failed := make(chan error, 1)
	go func() {
		said, err := io.ReadAll(io.LimitReader(failures, maxForwardError))
		if len(said) > 0 {
			err = errors.New(string(said))
		}
		failed <- err
		if err != nil {
			_ = session.Close()
		}
	}()
	conn := &forwarded{Conn: near, session: session, failed: failed}
	go func() { _, _ = io.Copy(data, far); _ = data.Close() }()
	go func() { _, _ = io.Copy(far, data); _ = far.Close() }()
	return conn, nil
}

// forwarded is a connection to a port of a pod.
type forwarded struct {
	net.Conn
	session httpstream.Connection
	failed  chan error
}

// Read reads what the pod sent. At the end it says what the kubelet said of the connection, if that ended it.
func (f *forwarded) Read(p []byte) (int, error) {
	n, err := f.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		select {
		case reason := <-f.failed:
			if reason != nil {
				return n, reason
			}
		default:
		}
	}
	return n, err //nolint:wrapcheck // A net.Conn's.
}

// Close ends the connection and the session with the API server that carries it.
func (f *forwarded) Close() error {
	return errors.Join(f.Conn.Close(), f.session.Close())
}

// podDialer dials a port of a pod of a component of a release for NATS's client, whatever address it asks for: another
// pod each time that the one before has gone.
type podDialer struct {
	ctx       context.Context //nolint:containedctx // Dial has none.
	release   *Release
	component string
	port      int
}

// Dial makes a connection; network and address are ignored.
func (d podDialer) Dial(_, _ string) (net.Conn, error) {
	current, err := d.release.again(d.ctx)
	if err != nil {
		return nil, err
	}
	pods := current.of(d.component)
	if len(pods) == 0 {
		return nil, fmt.Errorf("release %s has no pods of %s", d.release, d.component)
	}
	if rank(pods[0]) == 2 {
		return nil, fmt.Errorf("pod %s/%s does not run: %s", pods[0].Namespace, pods[0].Name, state(pods[0]))
	}
	return d.release.cluster.dialPod(pods[0].Namespace, pods[0].Name, d.port)
}
