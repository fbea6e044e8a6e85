package release

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// fakeAPI has Secrets of one namespace and reviews tokens. What it is asked of Kubernetes' own server is tried in
// real_test.go.
type fakeAPI struct {
	mu      sync.Mutex
	secrets map[string]*secret
	tokens  map[string]bearer
	writes  int
}

func newFakeAPI(t *testing.T, names ...string) (*fakeAPI, *API) {
	t.Helper()
	f := &fakeAPI{secrets: map[string]*secret{}, tokens: map[string]bearer{}}
	for _, name := range names {
		s := &secret{}
		s.Metadata.ResourceVersion = "1"
		f.secrets[name] = s
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	api, err := ConnectTo(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return f, api
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/tokenreviews") {
		f.review(w, r)
		return
	}
	name, _ := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/shop/secrets/")
	s := f.secrets[name]
	if s == nil {
		refuse(w, 404, `secrets "`+name+`" not found`)
		return
	}
	if r.Method == http.MethodPatch {
		change := &secret{}
		if err := json.NewDecoder(r.Body).Decode(change); err != nil || r.Header.Get("Content-Type") != "application/merge-patch+json" {
			refuse(w, 400, "not a patch")
			return
		}
		if change.Metadata.ResourceVersion != s.Metadata.ResourceVersion {
			refuse(w, 409, "the object has been modified")
			return
		}
		f.writes++
		version, _ := strconv.Atoi(s.Metadata.ResourceVersion)
		s.Metadata.ResourceVersion = strconv.Itoa(version + 1)
		if s.Data == nil {
			s.Data = map[string][]byte{}
		}
		maps.Copy(s.Data, change.Data)
	}
	_ = json.NewEncoder(w).Encode(s)
}

func (f *fakeAPI) review(w http.ResponseWriter, r *http.Request) {
	var review struct {
		Spec struct {
			Token     string
			Audiences []string
		}
	}
	_ = json.NewDecoder(r.Body).Decode(&review)
	who, found := f.tokens[review.Spec.Token]
	status := map[string]any{"authenticated": false, "error": "unknown"}
	if found {
		user := map[string]any{"username": who.user}
		if who.node != "" {
			user["extra"] = map[string][]string{nodeExtra: {who.node}}
		}
		status = map[string]any{"authenticated": true, "user": user, "audiences": review.Spec.Audiences}
	}
	w.WriteHeader(201)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status})
}

func refuse(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "message": message})
}
