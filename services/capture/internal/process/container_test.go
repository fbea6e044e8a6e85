package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"millrace.dev/services/capture/internal/container"
	"millrace.dev/services/capture/internal/machine"

	millracev1 "millrace.dev/proto/millrace/v1"
)

// hierarchies are where this machine has its cgroups: v2's, and of v1 the one that counts processes.
func hierarchies(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case fields[2] == "cgroup2":
			found["v2"] = fields[1]
		case fields[2] == "cgroup" && strings.Contains(","+fields[3]+",", ",pids,"):
			found["v1"] = fields[1]
		}
	}
	return found
}

// into makes a cgroup of the name below root and moves a new process into it.
func into(t *testing.T, root, name string) uint32 {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Skipf("cgroups cannot be made here: %v", err)
	}
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for ; path != root; path = filepath.Dir(path) {
			if os.Remove(path) != nil {
				return // others have groups there
			}
		}
	})
	if err := os.WriteFile(filepath.Join(path, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
		t.Skipf("processes cannot be moved here: %v", err)
	}
	return uint32(cmd.Process.Pid)
}

// TestContainerOfProcess: processes in cgroups of the kernel that are named as runtimes name theirs, and the files of
// those runtimes.
func TestContainerOfProcess(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making cgroups needs root")
	}
	root := t.TempDir()
	for path, text := range map[string]string{
		"var/lib/docker/containers/" + testID + "/config.v2.json": `{"Name":"/web","Config":{"Image":"nginx:1.27"}}`,
		"run/containerd/io.containerd.runtime.v2.task/k8s.io/" + otherID + "/config.json": `{"annotations":{` +
			`"io.kubernetes.cri.container-name":"app","io.kubernetes.cri.sandbox-name":"shop-1","io.kubernetes.cri.sandbox-namespace":"prod"}}`,
	} {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := "/millrace-test-" + strconv.Itoa(os.Getpid())
	machineFacts := &millracev1.Host{Id: "machine"}
	docker := millracev1.Process{ContainerId: testID, ContainerName: "web", ContainerImageName: "nginx", ContainerImageTag: "1.27"}
	pod := millracev1.Process{ContainerId: otherID, ContainerName: "app", PodUid: testUID, PodName: "shop-1", PodNamespace: "prod"}
	for version, hierarchy := range hierarchies(t) {
		for name, want := range map[string]*millracev1.Process{
			"/docker/" + testID:                                 &docker,
			"/system.slice/docker-" + testID + ".scope":         &docker,
			"/kubepods/burstable/pod" + testUID + "/" + otherID: &pod,
			"/kubepods.slice/kubepods-pod" + sliceUID + ".slice/cri-containerd-" + otherID + ".scope": &pod,
			"/system.slice/shop.service": {},
		} {
			t.Run(fmt.Sprintf("%s%s", version, name), func(t *testing.T) {
				pid := into(t, hierarchy, own+name)
				inventory, err := New("node")
				if err != nil {
					t.Fatal(err)
				}
				inventory.Describe(machineFacts, container.NewReader(machine.In(root)))
				facts := inventory.Lookup(pid).Facts()
				got := &millracev1.Process{
					ContainerId: facts.ContainerId, ContainerName: facts.ContainerName, ContainerImageName: facts.ContainerImageName,
					ContainerImageTag: facts.ContainerImageTag, PodUid: facts.PodUid, PodName: facts.PodName, PodNamespace: facts.PodNamespace,
				}
				if !proto.Equal(got, want) || !proto.Equal(facts.Host, machineFacts) {
					t.Errorf("got  %v on %v\nwant %v", got, facts.Host, want)
				}
				// A child has what its parent has before it is looked at by itself.
				child := inventory.Fork(1<<22+pid, pid, 0).Facts()
				if child.ContainerName != facts.ContainerName || child.PodUid != facts.PodUid || child.Host != machineFacts {
					t.Errorf("its child: %v", child)
				}
			})
		}
	}
}
