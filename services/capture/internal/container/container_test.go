package container

import (
	"os"
	"path/filepath"
	"testing"

	"millrace.dev/services/capture/internal/machine"
)

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// TestNames: files as each runtime writes them, cut to what says something.
func TestNames(t *testing.T) {
	t.Parallel()
	const (
		docker = "/var/lib/docker/containers/" + id + "/config.v2.json"
		cri    = "/run/containerd/io.containerd.runtime.v2.task/k8s.io/" + id + "/config.json"
		nerd   = "/run/containerd/io.containerd.runtime.v2.task/default/" + id + "/config.json"
		k3s    = "/run/k3s/containerd/io.containerd.runtime.v2.task/k8s.io/" + id + "/config.json"
		bundle = "/var/lib/containers/storage/overlay-containers/" + id + "/userdata/config.json"
		podman = "/var/lib/containers/storage/overlay-containers/containers.json"
	)
	inPod := Names{Name: "app", Image: "registry.k8s.io/app", Tag: "v1.2", Pod: "shop-7d4b9c-x2x8q", PodNamespace: "shop", PodUID: "9f8f4c62-5f0e-4f8a-a5d5-6a3f4d4a8a11"}
	pod := `"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"app",` +
		`"io.kubernetes.cri.image-name":"registry.k8s.io/app:v1.2","io.kubernetes.cri.sandbox-id":"ab","io.kubernetes.cri.sandbox-name":` +
		`"shop-7d4b9c-x2x8q","io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"9f8f4c62-5f0e-4f8a-a5d5-6a3f4d4a8a11"`
	labels := `"io.kubernetes.container.name":"app","io.kubernetes.pod.name":"shop-7d4b9c-x2x8q","io.kubernetes.pod.namespace":"shop",` +
		`"io.kubernetes.pod.uid":"9f8f4c62-5f0e-4f8a-a5d5-6a3f4d4a8a11"`
	for name, tc := range map[string]struct {
		files map[string]string
		want  Names
	}{
		"docker": {
			map[string]string{docker: `{"State":{"Running":true,"Pid":1},"ID":"` + id + `","Config":{"Hostname":"0123456789ab","Image":"nginx:1.27",` +
				`"Labels":{"maintainer":"x"}},"Image":"sha256:ab","Name":"/web","Driver":"overlay2"}`},
			Names{Name: "web", Image: "nginx", Tag: "1.27"},
		},
		"docker, image by digest and port": {
			map[string]string{docker: `{"Config":{"Image":"registry:5000/team/app@sha256:abcd"},"Name":"/app-1"}`},
			Names{Name: "app-1", Image: "registry:5000/team/app"},
		},
		"docker, image by id": {map[string]string{docker: `{"Config":{"Image":"sha256:` + id + `"},"Name":"/x"}`}, Names{Name: "x"}},
		"docker under Kubernetes": {
			map[string]string{docker: `{"Config":{"Image":"registry.k8s.io/app:v1.2","Labels":{` + labels + `}},"Name":"/k8s_app_shop-7d4b9c-x2x8q_shop_9f_0"}`},
			inPod,
		},
		"containerd under Kubernetes": {map[string]string{cri: `{"ociVersion":"1.2.0","process":{"args":["/app"]},"annotations":{` + pod + `}}`}, inPod},
		"k3s":                         {map[string]string{k3s: `{"annotations":{` + pod + `}}`}, inPod},
		"a pod's sandbox": {
			map[string]string{cri: `{"annotations":{"io.kubernetes.cri.container-type":"sandbox","io.kubernetes.cri.sandbox-name":"p","io.kubernetes.cri.sandbox-namespace":"n"}}`},
			Names{Pod: "p", PodNamespace: "n"},
		},
		"nerdctl": {map[string]string{nerd: `{"annotations":{"nerdctl/name":"redis1","nerdctl/namespace":"default"}}`}, Names{Name: "redis1"}},
		"CRI-O": {
			map[string]string{bundle: `{"annotations":{"io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.cri-o.ImageName":"registry.k8s.io/app:v1.2",` +
				`"io.container.manager":"cri-o",` + labels + `}}`},
			inPod,
		},
		"podman": {
			map[string]string{
				bundle: `{"annotations":{"io.container.manager":"libpod","org.opencontainers.image.stopSignal":"15"}}`,
				podman: `[{"id":"ff","names":["other"]},{"id":"` + id + `","names":["db"],"image":"ab","metadata":` +
					`"{\"image-name\":\"docker.io/library/postgres:16\",\"image-id\":\"ab\",\"name\":\"db\",\"created-at\":1700000000}"}]`,
			},
			Names{Name: "db", Image: "docker.io/library/postgres", Tag: "16"},
		},
		"podman, metadata of another form": {map[string]string{podman: `[{"id":"` + id + `","names":["db"],"metadata":"x"}]`}, Names{Name: "db"}},
		"nothing":                          {nil, Names{}},
		"not JSON":                         {map[string]string{docker: `{"Name":"/web"`, cri: `[]`, bundle: `{"annotations":[]}`, podman: `{}`}, Names{}},
		"no name": {
			map[string]string{docker: `{"Name":"/a\nb","Config":{"Image":"\u0000"}}`},
			Names{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for path, text := range tc.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			reader := NewReader(machine.In(root))
			got := reader.Names(id)
			if got != tc.want {
				t.Errorf("got  %+v\nwant %+v", got, tc.want)
			}
			if err := os.RemoveAll(root); err != nil {
				t.Fatal(err)
			}
			if again := reader.Names(id); again != got { // also that there is nothing
				t.Errorf("read again: %+v", again)
			}
		})
	}
}

func TestImage(t *testing.T) {
	t.Parallel()
	for reference, want := range map[string][2]string{
		"nginx": {"nginx", ""}, "nginx:1": {"nginx", "1"}, "h:5000/a/b": {"h:5000/a/b", ""}, "h:5000/a/b:c": {"h:5000/a/b", "c"},
		"a:1@sha256:ff": {"a", "1"}, "sha256:ff": {"", ""}, id: {"", ""}, "": {"", ""}, ":": {"", ""}, "@": {"", ""},
	} {
		if name, tag := image(reference); name != want[0] || tag != want[1] {
			t.Errorf("%q: %q %q", reference, name, tag)
		}
	}
}
