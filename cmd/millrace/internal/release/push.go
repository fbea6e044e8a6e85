package release

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
)

// Push tells the running servers at url of the account, so that new permissions are in effect before Kubernetes has
// updated the files of their pods. It returns when servers of that number have confirmed it, or with the last reason
// why not when ctx ends. A server that starts later reads the account from its file.
func Push(ctx context.Context, kept *Kept, url string, servers int, dir string) error {
	credentials, err := kept.Operator.IssueSystem(time.Hour)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "sys.creds")
	if err := os.WriteFile(path, credentials, 0o600); err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	certificate, key, err := kept.servers.issue("millrace keys", nil, time.Now())
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(kept.servers.pem)
	for {
		err := push(ctx, kept, url, servers,
			nats.UserCredentials(path), nats.Name("millrace-keys"), nats.Timeout(5*time.Second), nats.NoReconnect(),
			nats.Secure(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: authorities, MinVersion: tls.VersionTLS13}))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("NATS at %s has not taken the accounts: %w", url, err)
		case <-time.After(2 * time.Second):
		}
	}
}

// answer of a server to an update of an account.
type answer struct {
	Server struct {
		ID string `json:"id"`
	} `json:"server"`
	Data *struct {
		Code int `json:"code"`
	} `json:"data"`
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
}

func push(ctx context.Context, kept *Kept, url string, servers int, options ...nats.Option) error {
	conn, err := nats.Connect(url, options...)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	inbox := conn.NewRespInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	// Every server subscribes to it in the system account, and applies what the operator has signed: accUpdateEventSubjNew
	// in server/events.go of nats-server.
	if err := conn.PublishRequest("$SYS.REQ.ACCOUNT."+kept.Account+".CLAIMS.UPDATE", inbox, []byte(kept.Token)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	confirmed := map[string]bool{}
	for len(confirmed) < servers {
		message, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return fmt.Errorf("%d of %d servers have confirmed: %w", len(confirmed), servers, err)
		}
		var a answer
		if err := json.Unmarshal(message.Data, &a); err != nil {
			return fmt.Errorf("read the answer of a server: %w", err)
		}
		if a.Error != nil {
			return errors.New(a.Error.Description)
		}
		if a.Data != nil && a.Data.Code == 200 {
			confirmed[a.Server.ID] = true
		}
	}
	return nil
}
