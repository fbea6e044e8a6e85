package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	millracev1 "millrace.dev/proto/millrace/v1"
)

const (
	// metadataAddress is the link-local address that clouds answer at.
	metadataAddress = "http://169.254.169.254"
	// metadataTimeout bounds all questions together: the start of capture waits for them.
	metadataTimeout = 2 * time.Second
	maxAnswer       = 256 << 10
)

// errNobody: the machine's own files name no cloud that has a question here.
var errNobody = errors.New("the machine names no cloud whose metadata is known")

// Ask completes h with what the cloud answers at its link-local metadata address. It asks the cloud that the machine's
// own files name, and no other; without one it asks nobody and says so. It takes two seconds at most. What h has stays.
func Ask(ctx context.Context, h *millracev1.Host) error {
	transport := &http.Transport{DialContext: (&net.Dialer{Timeout: metadataTimeout}).DialContext, DisableKeepAlives: true} // no proxy
	return asker{base: metadataAddress, client: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}.complete(ctx, h)
}

type asker struct {
	base   string
	client *http.Client
}

func (a asker) complete(ctx context.Context, h *millracev1.Host) error {
	ask := map[string]func(asker, context.Context) (cloud, error){
		"aws": asker.aws, "azure": asker.azure, "gcp": asker.gcp, "digitalocean": asker.digitalOcean, "openstack": asker.openStack,
	}[h.CloudProvider]
	if ask == nil {
		return errNobody
	}
	ctx, cancel := context.WithTimeout(ctx, metadataTimeout)
	defer cancel()
	answer, err := ask(a, ctx)
	if err != nil {
		return fmt.Errorf("ask the metadata address of %s: %w", h.CloudProvider, err)
	}
	known := cloud{
		provider: h.CloudProvider, size: h.Type, image: h.ImageId, region: h.CloudRegion, zone: h.CloudAvailabilityZone,
		account: h.CloudAccountId,
	}
	answer.provider = known.provider
	known.add(answer)
	id := h.Id
	known.fill(h)
	// The instance's id is the cloud's word against the files of the machine, where those may have had no more than
	// machine-id.
	if h.Id == "" {
		h.Id = id
	}
	return nil
}

// aws asks as version 2 of the service wants it: for a token first.
func (a asker) aws(ctx context.Context) (cloud, error) {
	token, err := a.get(ctx, http.MethodPut, "/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds", "60")
	if err != nil {
		return cloud{}, err
	}
	var said struct {
		Account value `json:"accountId"`
		Type    value `json:"instanceType"`
		Image   value `json:"imageId"`
		ID      value `json:"instanceId"`
		Region  value `json:"region"`
		Zone    value `json:"availabilityZone"`
	}
	err = a.document(ctx, &said, "/latest/dynamic/instance-identity/document", "X-aws-ec2-metadata-token", strings.TrimSpace(string(token)))
	return cloud{
		instance: string(said.ID), size: string(said.Type), image: string(said.Image), region: string(said.Region),
		zone: string(said.Zone), account: string(said.Account),
	}, err
}

func (a asker) azure(ctx context.Context) (cloud, error) {
	var said struct {
		ID           value `json:"vmId"`
		Region       value `json:"location"`
		Subscription value `json:"subscriptionId"`
		Size         value `json:"vmSize"`
		Zone         value `json:"zone"`
	}
	err := a.document(ctx, &said, "/metadata/instance/compute?api-version=2021-02-01&format=json", "Metadata", "true")
	return cloud{
		instance: string(said.ID), size: string(said.Size), region: string(said.Region), zone: string(said.Zone),
		account: string(said.Subscription),
	}, err
}

// gcp asks twice: all of the project at once would bring the keys of its users along.
func (a asker) gcp(ctx context.Context) (cloud, error) {
	ask := func(what string) (string, error) {
		b, err := a.get(ctx, http.MethodGet, "/computeMetadata/v1/"+what, "Metadata-Flavor", "Google")
		return strings.TrimSpace(string(b)), err
	}
	var c cloud
	for _, question := range []struct {
		to   *string
		what string
	}{
		{&c.account, "project/project-id"}, {&c.instance, "instance/id"}, {&c.size, "instance/machine-type"}, {&c.zone, "instance/zone"},
	} {
		answer, err := ask(question.what)
		if err != nil {
			return cloud{}, err
		}
		*question.to = path.Base(answer) // projects/<number>/zones/<zone>
	}
	if dash := strings.LastIndexByte(c.zone, '-'); dash > 0 {
		c.region = c.zone[:dash]
	}
	return c, nil
}

func (a asker) digitalOcean(ctx context.Context) (cloud, error) {
	var said struct {
		ID     value `json:"droplet_id"`
		Region value `json:"region"`
	}
	err := a.document(ctx, &said, "/metadata/v1.json", "", "")
	return cloud{instance: string(said.ID), region: string(said.Region)}, err
}

func (a asker) openStack(ctx context.Context) (cloud, error) {
	var said struct {
		ID      value `json:"uuid"`
		Zone    value `json:"availability_zone"`
		Project value `json:"project_id"`
	}
	err := a.document(ctx, &said, "/openstack/latest/meta_data.json", "", "")
	return cloud{instance: string(said.ID), zone: string(said.Zone), account: string(said.Project)}, err
}

func (a asker) document(ctx context.Context, into any, path, header, content string) error {
	b, err := a.get(ctx, http.MethodGet, path, header, content)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func (a asker) get(ctx context.Context, method, path, header, content string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	if header != "" {
		request.Header.Set(header, content)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s", response.Status)
	}
	b, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err == nil && len(b) > maxAnswer {
		err = errors.New("the answer is too long")
	}
	return b, err
}
