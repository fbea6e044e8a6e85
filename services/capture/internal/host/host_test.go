package host

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/services/capture/internal/machine"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// tree makes a machine's root of files by path.
func tree(t *testing.T, files map[string]string) machine.Root {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return machine.In(root)
}

const (
	dmi  = "/sys/class/dmi/id/"
	data = "/run/cloud-init/instance-data.json"
	id   = "5f3c1b2a4d6e7f8091a2b3c4d5e6f708"
)

// TestClouds: what the firmware shows and cloud-init writes on machines of each cloud, cut to what is read and its
// surroundings.
func TestClouds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		want  *millracev1.Host // without architecture and operating system
	}{
		"bare metal": {
			map[string]string{dmi + "sys_vendor": "Dell Inc.\n", dmi + "product_name": "PowerEdge R650\n", dmi + "chassis_asset_tag": "\n"},
			&millracev1.Host{Id: id},
		},
		"no firmware": {nil, &millracev1.Host{Id: id}},
		"KVM at home, with cloud-init from a disk": {
			map[string]string{
				dmi + "sys_vendor": "QEMU\n", dmi + "product_name": "Standard PC (Q35 + ICH9, 2009)\n",
				data: `{"v1":{"cloud_name":"unknown","platform":"nocloud","instance_id":"nocloud","region":null}}`,
			},
			&millracev1.Host{Id: id},
		},
		"AWS, Nitro": {
			map[string]string{
				dmi + "sys_vendor": "Amazon EC2\n", dmi + "product_name": "m7g.large\n", dmi + "board_asset_tag": "i-0ab12cd34ef567890\n",
				data: `{"base64_encoded_keys":[],"ds":{"_metadata_api_version":"2021-03-23","dynamic":{"instance-identity":{"document":` +
					`{"accountId":"329910648901","architecture":"arm64","availabilityZone":"eu-central-1a","imageId":"ami-02e8aa396f8be3b6d",` +
					`"instanceId":"i-0ab12cd34ef567890","instanceType":"m7g.large","region":"eu-central-1"},"pkcs7":["MIAG"],"signature":"x"}},` +
					`"meta_data":{"ami-id":"ami-02e8aa396f8be3b6d","instance-type":"m7g.large"}},"sensitive_keys":["user_data"],` +
					`"v1":{"availability_zone":"eu-central-1a","cloud_id":"aws","cloud_name":"aws","instance_id":"i-0ab12cd34ef567890","region":"eu-central-1"}}`,
			},
			&millracev1.Host{
				Id: "i-0ab12cd34ef567890", Type: "m7g.large", ImageId: "ami-02e8aa396f8be3b6d", CloudProvider: "aws", CloudPlatform: "aws_ec2",
				CloudRegion: "eu-central-1", CloudAvailabilityZone: "eu-central-1a", CloudAccountId: "329910648901",
			},
		},
		"AWS, Nitro without cloud-init": {
			map[string]string{dmi + "sys_vendor": "Amazon EC2\n", dmi + "product_name": "t3.micro\n", dmi + "board_asset_tag": "i-0ab12cd34ef567890\n"},
			&millracev1.Host{Id: "i-0ab12cd34ef567890", Type: "t3.micro", CloudProvider: "aws", CloudPlatform: "aws_ec2"},
		},
		"AWS, Xen, an older cloud-init": {
			map[string]string{
				dmi + "sys_vendor": "Xen\n", dmi + "product_name": "HVM domU\n", dmi + "bios_version": "4.11.amazon\n",
				data: `{"ds":{"dynamic":{"instance_identity":{"document":{"accountId":329910648901,"instanceType":"t2.micro"},"pkcs7":["x"]}}},` +
					`"v1":{"cloud_name":"aws","instance_id":"i-1","region":"us-east-2","availability_zone":"us-east-2b"}}`,
			},
			&millracev1.Host{
				Id: "i-1", Type: "t2.micro", CloudProvider: "aws", CloudPlatform: "aws_ec2", CloudRegion: "us-east-2",
				CloudAvailabilityZone: "us-east-2b", CloudAccountId: "329910648901",
			},
		},
		"Xen elsewhere": {
			map[string]string{dmi + "sys_vendor": "Xen\n", dmi + "product_name": "HVM domU\n", dmi + "bios_version": "4.17\n"},
			&millracev1.Host{Id: id},
		},
		"GCP": {
			map[string]string{
				dmi + "sys_vendor": "Google\n", dmi + "product_name": "Google Compute Engine\n",
				data: `{"ds":{"meta_data":{}},"v1":{"availability_zone":"us-central1-f","cloud_name":"gce","instance_id":"4187634126893284237","region":"us-central1"}}`,
			},
			&millracev1.Host{
				Id: "4187634126893284237", CloudProvider: "gcp", CloudPlatform: "gcp_compute_engine", CloudRegion: "us-central1",
				CloudAvailabilityZone: "us-central1-f",
			},
		},
		"Azure": {
			map[string]string{
				dmi + "sys_vendor": "Microsoft Corporation\n", dmi + "product_name": "Virtual Machine\n",
				dmi + "chassis_asset_tag": "7783-7084-3265-9085-8269-3286-77\n",
				data: `{"ds":{"meta_data":{"imds":{"compute":{"location":"westeurope","subscriptionId":"8c56a1b2-0000-4000-8000-000000000001",` +
					`"vmId":"f3b5","vmSize":"Standard_D2s_v5","zone":"2"},"network":{}}}},"v1":{"cloud_name":"azure","region":"westeurope",` +
					`"availability_zone":null,"instance_id":"d1f4a2b3-1111-4222-8333-944445555666"}}`,
			},
			&millracev1.Host{
				Id: "d1f4a2b3-1111-4222-8333-944445555666", Type: "Standard_D2s_v5", CloudProvider: "azure", CloudPlatform: "azure.vm",
				CloudRegion: "westeurope", CloudAvailabilityZone: "2", CloudAccountId: "8c56a1b2-0000-4000-8000-000000000001",
			},
		},
		"Hyper-V elsewhere": {
			map[string]string{dmi + "sys_vendor": "Microsoft Corporation\n", dmi + "product_name": "Virtual Machine\n", dmi + "chassis_asset_tag": "1234\n"},
			&millracev1.Host{Id: id},
		},
		"DigitalOcean": {
			map[string]string{
				dmi + "sys_vendor": "DigitalOcean\n", dmi + "product_name": "Droplet\n", dmi + "product_serial": "348591234\n",
				data: `{"ds":{"meta_data":{"droplet_id":348591234,"region":"fra1"}},"v1":{"cloud_name":"digitalocean","instance_id":"348591234","region":"fra1"}}`,
			},
			&millracev1.Host{Id: "348591234", CloudProvider: "digitalocean", CloudRegion: "fra1"},
		},
		"OpenStack": {
			map[string]string{
				dmi + "sys_vendor": "OpenStack Foundation\n", dmi + "product_name": "OpenStack Nova\n",
				dmi + "product_uuid": "D8E02D56-2648-49A3-BF97-6BE8F1204F38\n",
				data: `{"ds":{"meta_data":{"availability_zone":"nova","project_id":"f7ac731cc11f40efbc03a9f9e1d1d21f","uuid":"d8e02d56-2648-49a3-bf97-6be8f1204f38"}},` +
					`"v1":{"cloud_name":"openstack","instance_id":"d8e02d56-2648-49a3-bf97-6be8f1204f38","availability_zone":"nova","region":null}}`,
			},
			&millracev1.Host{
				Id: "d8e02d56-2648-49a3-bf97-6be8f1204f38", CloudProvider: "openstack", CloudAvailabilityZone: "nova",
				CloudAccountId: "f7ac731cc11f40efbc03a9f9e1d1d21f",
			},
		},
		"the files of another cloud": {
			map[string]string{
				dmi + "sys_vendor": "Google\n", dmi + "product_name": "Google Compute Engine\n",
				data: `{"v1":{"cloud_name":"aws","instance_id":"i-1","region":"us-east-2"}}`,
			},
			&millracev1.Host{Id: id, CloudProvider: "gcp", CloudPlatform: "gcp_compute_engine"},
		},
		"only the id on disk, at this boot": {
			map[string]string{"/run/cloud-init/cloud-id": "hetzner\n", "/var/lib/cloud/data/instance-id": "4711\n"},
			&millracev1.Host{Id: "4711", CloudProvider: "hetzner", CloudPlatform: "hetzner.cloud_server"},
		},
		"an id on disk of nobody knows when": {map[string]string{"/var/lib/cloud/data/instance-id": "4711\n"}, &millracev1.Host{Id: id}},
		"not JSON":                           {map[string]string{data: `{"v1":{"cloud_name":"aws"`}, &millracev1.Host{Id: id}},
		"values of other types": {
			map[string]string{data: `{"v1":{"cloud_name":"aws","instance_id":["x"],"region":{}},"ds":{"dynamic":{"instance-identity":[1]}}}`},
			&millracev1.Host{Id: id, CloudProvider: "aws", CloudPlatform: "aws_ec2"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{"/etc/machine-id": id + "\n"}
			for path, text := range tc.files {
				files[path] = text
			}
			want := proto.Clone(tc.want).(*millracev1.Host)
			want.Arch, want.OsType = runtime.GOARCH, "linux"
			if got := Read(tree(t, files)); !proto.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

func TestOperatingSystem(t *testing.T) {
	t.Parallel()
	h := Read(tree(t, map[string]string{
		"/usr/lib/os-release":       "# a comment\nPRETTY_NAME=\"Debian GNU/Linux 12 (\\\"bookworm\\\")\"\nNAME='Debian GNU/Linux'\nVERSION_ID=12\nbroken\n",
		"/var/lib/dbus/machine-id":  id,
		"/etc/machine-id":           "uninitialized\n",
		"/sys/class/dmi/id/ignored": "x",
	}))
	if h.OsDescription != `Debian GNU/Linux 12 ("bookworm")` || h.OsName != "Debian GNU/Linux" || h.OsVersion != "12" || h.Id != id {
		t.Errorf("%v", h)
	}
	if h := Read(tree(t, map[string]string{"/etc/machine-id": "00000000000000000000000000000000\n"})); h.Id != "" || h.OsName != "" {
		t.Errorf("nothing known: %v", h)
	}
	own := Read(machine.Of())
	if own.OsName == "" || own.Arch != runtime.GOARCH {
		t.Errorf("this machine: %v", own)
	}
}

// TestAsk: the questions that each cloud wants, with the headers that it insists on.
func TestAsk(t *testing.T) {
	t.Parallel()
	refused := 0
	answers := map[string][3]string{ // path to header, its content, answer
		"/latest/api/token": {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds", "60", "token\n"},
		"/latest/dynamic/instance-identity/document": {"X-Aws-Ec2-Metadata-Token", "token", `{"accountId":"1","instanceType":"m5.large",` +
			`"instanceId":"i-9","region":"eu-west-1","availabilityZone":"eu-west-1c","imageId":"ami-1"}`},
		"/computeMetadata/v1/project/project-id":    {"Metadata-Flavor", "Google", "shop-1"},
		"/computeMetadata/v1/instance/id":           {"Metadata-Flavor", "Google", "77"},
		"/computeMetadata/v1/instance/machine-type": {"Metadata-Flavor", "Google", "projects/1/machineTypes/e2-small"},
		"/computeMetadata/v1/instance/zone":         {"Metadata-Flavor", "Google", "projects/1/zones/europe-west4-b"},
		"/metadata/instance/compute":                {"Metadata", "true", `{"vmId":"v","location":"westus2","subscriptionId":"s","vmSize":"B1s","zone":""}`},
		"/metadata/v1.json":                         {"", "", `{"droplet_id":5,"region":"fra1"}`},
		"/openstack/latest/meta_data.json":          {"", "", `not JSON`},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, found := answers[r.URL.Path]
		if !found || answer[0] != "" && r.Header.Get(answer[0]) != answer[1] {
			refused++
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(answer[2]))
	}))
	t.Cleanup(server.Close)
	for provider, want := range map[string]*millracev1.Host{
		"aws": {
			Id: "i-9", Type: "m5.large", ImageId: "ami-1", CloudProvider: "aws", CloudPlatform: "aws_ec2", CloudRegion: "eu-west-1",
			CloudAvailabilityZone: "kept", CloudAccountId: "1",
		},
		"gcp": {
			Id: "77", Type: "e2-small", CloudProvider: "gcp", CloudPlatform: "gcp_compute_engine", CloudRegion: "europe-west4",
			CloudAvailabilityZone: "kept", CloudAccountId: "shop-1",
		},
		"azure": {
			Id: "v", Type: "B1s", CloudProvider: "azure", CloudPlatform: "azure.vm", CloudRegion: "westus2", CloudAvailabilityZone: "kept",
			CloudAccountId: "s",
		},
		"digitalocean": {Id: "5", CloudProvider: "digitalocean", CloudRegion: "fra1", CloudAvailabilityZone: "kept"},
		"openstack":    nil,
		"":             nil,
	} {
		h := &millracev1.Host{Id: id, CloudProvider: provider, CloudAvailabilityZone: "kept"}
		before := proto.Clone(h)
		err := asker{base: server.URL, client: server.Client()}.complete(t.Context(), h)
		if want == nil {
			if err == nil || !proto.Equal(h, before) {
				t.Errorf("%q: %v, %v", provider, h, err)
			}
			continue
		}
		if err != nil || !proto.Equal(h, want) {
			t.Errorf("%s: %v\ngot  %v\nwant %v", provider, err, h, want)
		}
	}
	if refused != 0 {
		t.Errorf("%d questions were refused", refused)
	}
}
