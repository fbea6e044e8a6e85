package main

// Who runs in an image: root where capture is, because Kubernetes and Docker give capabilities to no one else, and
// nobody of the machine elsewhere.
const (
	root    = "0:0"
	nonroot = "65532:65532"
)

// spec is one image: its name, which is also its executable's.
type spec struct {
	name        string
	title       string
	description string
	user        string
	command     []string // default arguments of the executable
}

// specs are all images, in the order of the way that data takes.
var specs = []spec{
	{
		name: "millrace-capture", title: "Millrace capture", user: root,
		description: "The privileged part of a node: kernel events to NATS",
	},
	{
		name: "millrace-decoder", title: "Millrace decoder", user: nonroot,
		description: "Raw events to exchanges",
	},
	{
		name: "millrace-enricher", title: "Millrace enricher", user: nonroot,
		description: "Exchanges to spans and metrics",
	},
	{
		name: "millrace-exporter", title: "Millrace exporter", user: nonroot,
		description: "Spans and metrics to backends",
	},
	{
		name: "millrace", title: "Millrace", user: root, command: []string{"run", "--quiet"},
		description: "Everything in one process, and the command line",
	},
}

// executable is where the image has its program.
func (s spec) executable() string { return "/usr/bin/" + s.name }

// architectures are those of each image's index.
var architectures = []string{"amd64", "arm64"}
