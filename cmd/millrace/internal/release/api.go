package release

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// API is the few requests of the Kubernetes API that a release needs. Safe for concurrent use.
type API struct {
	client *http.Client
	base   string
}

// maxAnswer bounds what is read of an answer: a Secret has up to 1 MiB, in base64.
const maxAnswer = 4 << 20

// Connect reaches the API as the service account of the pod.
func Connect() (*API, error) {
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return nil, fmt.Errorf("this is for pods with a service account: %w", err)
	}
	return ConnectTo(cfg)
}

// ConnectTo reaches the API as cfg says.
func ConnectTo(cfg *rest.Config) (*API, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.Timeout, cfg.UserAgent = 20*time.Second, "millrace-release"
	client, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	base := cfg.Host
	if !strings.Contains(base, "://") {
		base = "https://" + base
	}
	return &API{client: client, base: strings.TrimSuffix(base, "/")}, nil
}

// StatusError is a refusal of the API.
type StatusError struct {
	Code    int // HTTP status
	Message string
}

func (e *StatusError) Error() string { return e.Message }

// do sends a request with a JSON body, if there is one, and reads the answer into out.
func (a *API) do(ctx context.Context, method, path, contentType string, body, out any) error {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		reader = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, reader)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return fmt.Errorf("ask the Kubernetes API: %w", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer of the Kubernetes API: %w", err)
	}
	if response.StatusCode >= 300 {
		var status struct{ Message string }
		if json.Unmarshal(answer, &status) != nil || status.Message == "" {
			status.Message = "the Kubernetes API answers " + response.Status
		}
		return &StatusError{Code: response.StatusCode, Message: status.Message}
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("read the answer of the Kubernetes API: %w", err)
	}
	return nil
}

// secret is what is read and written of a Secret.
type secret struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion,omitempty"`
	} `json:"metadata"`
	Data map[string][]byte `json:"data"`
}

func secretPath(namespace, name string) string {
	return "/api/v1/namespaces/" + url.PathEscape(namespace) + "/secrets/" + url.PathEscape(name)
}

func (a *API) secret(ctx context.Context, namespace, name string) (*secret, error) {
	s := &secret{}
	if err := a.do(ctx, http.MethodGet, secretPath(namespace, name), "", nil, s); err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	return s, nil
}

// fill writes entries of a Secret that is as it was read, or fails: somebody else's change is not overwritten.
func (a *API) fill(ctx context.Context, namespace, name string, was *secret, data map[string][]byte) error {
	change := &secret{Data: data}
	change.Metadata.ResourceVersion = was.Metadata.ResourceVersion
	if err := a.do(ctx, http.MethodPatch, secretPath(namespace, name), "application/merge-patch+json", change, &secret{}); err != nil {
		return fmt.Errorf("write Secret %s: %w", name, err)
	}
	return nil
}

// bearer is what a token says of its pod, by the API.
type bearer struct{ user, node string }

// nodeExtra is where the review of a token that is bound to a pod names the node of the pod:
// https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin
const nodeExtra = "authentication.kubernetes.io/node-name"

// review asks whose token it is. The token must have been made for the audience.
func (a *API) review(ctx context.Context, token, audience string) (bearer, error) {
	type spec struct {
		Token     string   `json:"token"`
		Audiences []string `json:"audiences"`
	}
	var review struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       spec   `json:"spec"`
		Status     struct {
			Authenticated bool   `json:"authenticated"`
			Error         string `json:"error"`
			User          struct {
				Username string              `json:"username"`
				Extra    map[string][]string `json:"extra"`
			} `json:"user"`
			Audiences []string `json:"audiences"`
		} `json:"status,omitzero"`
	}
	review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
	review.Spec = spec{token, []string{audience}}
	if err := a.do(ctx, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", "application/json", &review, &review); err != nil {
		return bearer{}, fmt.Errorf("review a token: %w", err)
	}
	status := &review.Status
	if !status.Authenticated || len(status.Audiences) != 1 || status.Audiences[0] != audience {
		return bearer{}, &refusal{"the token is not valid for " + audience + ": " + status.Error}
	}
	b := bearer{user: status.User.Username}
	if nodes := status.User.Extra[nodeExtra]; len(nodes) == 1 {
		b.node = nodes[0]
	}
	return b, nil
}
