package host

import (
	"encoding/json"
	"strings"

	"millrace.dev/services/capture/internal/machine"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// cloud is what is known of the cloud that a machine is in.
type cloud struct {
	provider string // as OpenTelemetry spells it
	instance string
	size     string // "host.type"
	image    string
	region   string
	zone     string
	account  string
}

// platforms are OpenTelemetry's names for the virtual machines of providers (cloud.platform).
var platforms = map[string]string{
	"aws": "aws_ec2", "azure": "azure.vm", "gcp": "gcp_compute_engine", "alibaba_cloud": "alibaba_cloud_ecs",
	"tencent_cloud": "tencent_cloud_cvm", "oracle_cloud": "oracle_cloud_compute",
	"hetzner": "hetzner.cloud_server",
	"vultr":   "vultr.cloud_compute",
}

// add takes from other what is not known yet, unless the two are about different clouds.
func (c *cloud) add(other cloud) {
	if other.provider == "" || c.provider != "" && c.provider != other.provider {
		return
	}
	for _, field := range []struct {
		to   *string
		from string
	}{
		{&c.provider, other.provider},
		{&c.instance, other.instance},
		{&c.size, other.size},
		{&c.image, other.image},
		{&c.region, other.region},
		{&c.zone, other.zone},
		{&c.account, other.account},
	} {
		if *field.to == "" {
			*field.to = field.from
		}
	}
}

func (c *cloud) fill(h *millracev1.Host) {
	h.Id, h.Type, h.ImageId = clean(c.instance), clean(c.size), clean(c.image)
	h.CloudProvider, h.CloudPlatform = c.provider, platforms[c.provider]
	h.CloudRegion, h.CloudAvailabilityZone, h.CloudAccountId = clean(c.region), clean(c.zone), clean(c.account)
}

// fromFirmware says which cloud the hypervisor's DMI names, and what else is in it.
func fromFirmware(root machine.Root) cloud {
	dmi := func(name string) string { return text(root, "/sys/class/dmi/id/"+name) }
	vendor, product := dmi("sys_vendor"), dmi("product_name")
	switch {
	case vendor == "Amazon EC2":
		c := cloud{provider: "aws", size: product}
		// Of machines on Nitro the tag is the instance's id; of bare metal it may be the hardware's.
		if tag := dmi("board_asset_tag"); strings.HasPrefix(tag, "i-") {
			c.instance = tag
		}
		return c
	case vendor == "Xen" && strings.Contains(dmi("bios_version"), "amazon"):
		return cloud{provider: "aws"}
	case vendor == "Google" && product == "Google Compute Engine":
		return cloud{provider: "gcp"}
	case vendor == "Microsoft Corporation" && dmi("chassis_asset_tag") == "7783-7084-3265-9085-8269-3286-77":
		return cloud{provider: "azure"} // the tag tells Azure from Hyper-V elsewhere
	case vendor == "DigitalOcean":
		return cloud{provider: "digitalocean", instance: dmi("product_serial")}
	case vendor == "Hetzner":
		return cloud{provider: "hetzner", instance: dmi("product_serial")}
	case vendor == "Vultr":
		return cloud{provider: "vultr", instance: dmi("product_serial")}
	case vendor == "Alibaba Cloud" || strings.HasPrefix(product, "Alibaba Cloud ECS"):
		return cloud{provider: "alibaba_cloud"}
	case vendor == "Tencent Cloud":
		return cloud{provider: "tencent_cloud"}
	case dmi("chassis_asset_tag") == "OracleCloud.com":
		return cloud{provider: "oracle_cloud"}
	case strings.HasPrefix(product, "OpenStack ") || strings.HasPrefix(dmi("chassis_asset_tag"), "OpenStack "):
		// Nova puts the server's id where the machine's serial number or UUID is.
		return cloud{provider: "openstack", instance: strings.ToLower(dmi("product_uuid"))}
	}
	return cloud{}
}

// providers are cloud-init's names of clouds, where OpenTelemetry has others or the same.
var providers = map[string]string{
	"aws": "aws", "ec2": "aws", "azure": "azure", "gce": "gcp", "digitalocean": "digitalocean", "openstack": "openstack",
	"hetzner": "hetzner", "aliyun": "alibaba_cloud", "alibaba": "alibaba_cloud", "oracle": "oracle_cloud",
	"tencent": "tencent_cloud", "tencentcloud": "tencent_cloud", "vultr": "vultr", "akamai": "akamai_cloud", "ibmcloud": "ibm_cloud",
}

// instanceData is what is used of cloud-init's instance-data.json. A value that is not of these types makes that value
// empty and no other.
type instanceData struct {
	V1 struct {
		CloudName  value `json:"cloud_name"`
		InstanceID value `json:"instance_id"`
		Region     value `json:"region"`
		Zone       value `json:"availability_zone"`
	} `json:"v1"`
	DS struct {
		Dynamic  map[string]identityDocument `json:"dynamic"` // of AWS: instance-identity, in older versions instance_identity
		MetaData struct {
			IMDS struct {
				Compute struct {
					Subscription value `json:"subscriptionId"`
					Size         value `json:"vmSize"`
					Zone         value `json:"zone"`
				} `json:"compute"`
			} `json:"imds"`
			InstanceType value `json:"instance-type"`
			AMI          value `json:"ami-id"`
			Project      value `json:"project_id"` // of OpenStack
		} `json:"meta_data"`
	} `json:"ds"`
}

type identityDocument struct {
	Document struct {
		Account value `json:"accountId"`
		Type    value `json:"instanceType"`
		Image   value `json:"imageId"`
	} `json:"document"`
}

// UnmarshalJSON takes what has the form of the document and leaves out what has not.
func (d *identityDocument) UnmarshalJSON(b []byte) error {
	type plain identityDocument
	var read plain
	if json.Unmarshal(b, &read) == nil {
		*d = identityDocument(read)
	}
	return nil
}

// value is a string or a number. Anything else, and what cloud-init redacts, is empty.
type value string

// UnmarshalJSON reads the value.
func (v *value) UnmarshalJSON(b []byte) error {
	var text string
	var number json.Number
	switch {
	case json.Unmarshal(b, &text) == nil:
		if !strings.HasPrefix(text, "redacted for non-root") {
			*v = value(text)
		}
	case json.Unmarshal(b, &number) == nil:
		*v = value(number)
	}
	return nil
}

// fromCloudInit reads what cloud-init wrote at this boot. The folder is on a tmpfs, so nothing in it is of another
// machine.
func fromCloudInit(root machine.Root) cloud {
	const folder = "/run/cloud-init/"
	var data instanceData
	if b, err := root.ReadFile(folder+"instance-data.json", 4<<20); err != nil || json.Unmarshal(b, &data) != nil {
		data = instanceData{}
	}
	name := string(data.V1.CloudName)
	if name == "" {
		name = text(root, folder+"cloud-id")
	}
	c := cloud{
		provider: providers[strings.ToLower(name)], instance: string(data.V1.InstanceID), region: string(data.V1.Region),
		zone: string(data.V1.Zone), account: string(data.DS.MetaData.Project),
		size: string(data.DS.MetaData.InstanceType), image: string(data.DS.MetaData.AMI),
	}
	if c.instance == "" && name != "" {
		// cloud-init ran at this boot, so the id on disk is this machine's.
		c.instance = text(root, "/var/lib/cloud/data/instance-id")
	}
	switch c.provider {
	case "aws":
		for _, key := range []string{"instance-identity", "instance_identity"} {
			document := data.DS.Dynamic[key].Document
			c.add(cloud{provider: c.provider, account: string(document.Account), size: string(document.Type), image: string(document.Image)})
		}
	case "azure":
		compute := data.DS.MetaData.IMDS.Compute
		c.add(cloud{provider: c.provider, account: string(compute.Subscription), size: string(compute.Size), zone: string(compute.Zone)})
	}
	return c
}
