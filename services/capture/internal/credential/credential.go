// Package credential fetches the credential of this node from the issuer of a release on Kubernetes, for
// bus.credentials_file. It runs in a container of its own before capture starts, so that capture has no token.
package credential

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Request says where a credential comes from and goes to.
type Request struct {
	// URL of the issuer; CAFile has the authority of its certificate.
	URL, CAFile string
	// TokenFile has a token of this pod, which the API server signed.
	TokenFile string
	// Rotation is the one that the keys of the issuer must be of.
	Rotation string
	// Out is the file that is written, for its owner alone.
	Out string
	// Say takes why there is no credential yet, when that changes.
	Say func(reason string)
}

// A credential has some hundred bytes.
const maxCredential = 64 << 10

// Fetch asks until it gets a credential, or ctx ends: the issuer may start later, or be replaced. It gives up only on
// what asking again cannot change: files that cannot be read or written.
func Fetch(ctx context.Context, r Request) error {
	said := ""
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		credential, err := r.ask(ctx)
		var local *os.PathError
		switch {
		case err == nil:
			return write(r.Out, credential)
		case errors.As(err, &local):
			return err
		case err.Error() != said:
			said = err.Error()
			r.Say(said)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

func (r Request) ask(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	token, err := os.ReadFile(r.TokenFile)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	pem, err := os.ReadFile(r.CAFile)
	if err != nil {
		return nil, fmt.Errorf("authority of the issuer: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority of the issuer: %s holds no certificate", r.CAFile)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL+"?rotation="+url.QueryEscape(r.Rotation), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS13}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the issuer of credentials: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCredential))
	if err != nil {
		return nil, fmt.Errorf("read the answer of the issuer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the issuer of credentials answers %s: %s", response.Status, strings.TrimSpace(string(body)))
	}
	if !strings.Contains(string(body), "BEGIN NATS USER JWT") {
		return nil, errors.New("the issuer of credentials answers with something else than a credential")
	}
	return body, nil
}

// write replaces the file in one step, so that nobody reads half of it.
func write(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // Only its owner may read it.
	if err != nil {
		return fmt.Errorf("write credential: %w", err)
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // The error says more.
		return fmt.Errorf("write credential: %w", err)
	}
	return nil
}
