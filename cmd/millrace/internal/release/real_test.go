package release

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// realAPI reaches a real API server as its administrator. On it is the release millrace in the namespace observe.
func realAPI(t *testing.T) (*API, *rest.Config) {
	t.Helper()
	path := os.Getenv("TEST_RIGHTS_KUBECONFIG")
	if path == "" {
		t.Skip("TEST_RIGHTS_KUBECONFIG names no API server with the objects of the chart: `make test-chart` does")
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	api, err := ConnectTo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return api, cfg
}

// as reaches the server with the token of a service account, bound to a pod where one is named.
func as(t *testing.T, admin *API, cfg *rest.Config, account, audience, pod string) (*API, string) {
	t.Helper()
	spec := map[string]any{}
	if audience != "" {
		spec["audiences"] = []string{audience}
	}
	if pod != "" {
		spec["boundObjectRef"] = map[string]any{"kind": "Pod", "apiVersion": "v1", "name": pod}
	}
	var answer struct{ Status struct{ Token string } }
	err := admin.do(t.Context(), http.MethodPost, "/api/v1/namespaces/observe/serviceaccounts/"+account+"/token", "application/json",
		map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}, &answer)
	if err != nil {
		t.Fatal(err)
	}
	own := rest.AnonymousClientConfig(cfg)
	own.BearerToken = answer.Status.Token
	api, err := ConnectTo(own)
	if err != nil {
		t.Fatal(err)
	}
	return api, answer.Status.Token
}

// TestRealKeys: the Job of the keys fills the Secrets of the chart with its rights, and may do nothing else with
// Secrets.
func TestRealKeys(t *testing.T) {
	admin, cfg := realAPI(t)
	api, _ := as(t, admin, cfg, "millrace-keys", "", "")
	k := testKeys()
	k.Namespace, k.Name = "observe", "millrace"
	first := keep(t, k, api)
	if want := slices.Sorted(slices.Values(k.SecretNames())); !slices.Equal(first.Changed, want) {
		t.Errorf("written %v, want %v", first.Changed, want)
	}
	again, err := k.Keep(t.Context(), api, filepath.Join(t.TempDir(), "operator"))
	if err != nil || again.Account != first.Account {
		t.Errorf("the second time: account %s, was %s, %v", again.Account, first.Account, err)
	}
	if _, err := api.secret(t.Context(), "observe", "millrace-exporter-config"); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("another Secret: %v", err)
	}
	var answer map[string]any
	if err := api.do(t.Context(), http.MethodGet, "/api/v1/namespaces/observe/secrets", "", nil, &answer); err == nil {
		t.Error("it may list Secrets")
	}
}

// TestRealReview: the server says on which node the pod of a token runs, to the account of the issuer.
func TestRealReview(t *testing.T) {
	admin, cfg := realAPI(t)
	const audience = "millrace.observe.millrace.dev"
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var answer map[string]any
	for path, object := range map[string]map[string]any{
		"/api/v1/nodes": {"apiVersion": "v1", "kind": "Node", "metadata": map[string]any{"name": "worker-1"}},
		"/api/v1/namespaces/observe/pods": {
			"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "probe"},
			"spec": map[string]any{"nodeName": "worker-1", "serviceAccountName": "millrace-capture", "containers": []any{map[string]any{"name": "c", "image": "x"}}},
		},
	} {
		if err := admin.do(ctx, http.MethodPost, path, "application/json", object, &answer); err != nil {
			t.Fatal(err)
		}
	}
	issuer, _ := as(t, admin, cfg, "millrace-admin", "", "")
	_, token := as(t, admin, cfg, "millrace-capture", audience, "probe")
	who, err := issuer.review(ctx, token, audience)
	if want := (bearer{"system:serviceaccount:observe:millrace-capture", "worker-1"}); err != nil || who != want {
		t.Errorf("%+v, %v; want %+v", who, err, want)
	}
	_, unbound := as(t, admin, cfg, "millrace-capture", audience, "")
	if who, err = issuer.review(ctx, unbound, audience); err != nil || who.node != "" {
		t.Errorf("a token of no pod: %+v, %v", who, err)
	}
	_, other := as(t, admin, cfg, "millrace-capture", "", "probe")
	if who, err = issuer.review(ctx, other, audience); err == nil {
		t.Errorf("a token for the API server passes as one for the issuer: %+v", who)
	}
	capture, _ := as(t, admin, cfg, "millrace-capture", "", "probe")
	if _, err := capture.review(ctx, token, audience); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("capture may review tokens: %v", err)
	}
}
