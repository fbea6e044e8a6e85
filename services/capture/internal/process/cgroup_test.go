package process

import "testing"

const (
	testID  = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	otherID = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
	testUID = "9f8f4c62-5f0e-4f8a-a5d5-6a3f4d4a8a11"
	// sliceUID is testUID as the kubelet writes it with the systemd driver.
	sliceUID = "9f8f4c62_5f0e_4f8a_a5d5_6a3f4d4a8a11"
	// staticUID is of a pod from a static manifest.
	staticUID = "0a1b2c3d4e5f60718293a4b5c6d7e8f9"
)

// TestParseCgroup: groups as runtimes and their drivers name them. The path of each is that of the line that names the
// container.
func TestParseCgroup(t *testing.T) {
	t.Parallel()
	const qos = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod"
	for _, tc := range []struct{ text, path, container, pod string }{
		// Nobody's container.
		{"0::/system.slice/nginx.service", "/system.slice/nginx.service", "", ""},
		{"0::/user.slice/user-1000.slice/session-1.scope", "/user.slice/user-1000.slice/session-1.scope", "", ""},
		{"0::/", "/", "", ""},
		{"4:memory:/user\n3:cpu:/x\n0::/v2", "/v2", "", ""},
		{"garbage\n\n", "", "", ""},
		{"0::/system.slice/docker.service", "/system.slice/docker.service", "", ""},
		{"0::/" + testID[:63], "/" + testID[:63], "", ""},
		// Docker.
		{"0::/system.slice/docker-" + testID + ".scope", "/system.slice/docker-" + testID + ".scope", testID, ""},
		{"12:pids:/docker/" + testID + "\n1:name=systemd:/docker/" + testID + "\n0::/system.slice", "/docker/" + testID, testID, ""},
		{"0::/docker/" + testID, "/docker/" + testID, testID, ""},
		{"0::/docker/" + testID + "/init.scope", "/docker/" + testID + "/init.scope", testID, ""},
		{"0::/docker/buildx/" + testID, "/docker/buildx/" + testID, testID, ""},
		{"0::/../../docker-" + testID + ".scope", "/../../docker-" + testID + ".scope", testID, ""},
		{
			"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + testID + ".scope",
			"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + testID + ".scope", testID, "",
		},
		// Podman.
		{"0::/machine.slice/libpod-" + testID + ".scope/container", "/machine.slice/libpod-" + testID + ".scope/container", testID, ""},
		{"0::/machine.slice/libpod-" + testID + ".scope", "/machine.slice/libpod-" + testID + ".scope", testID, ""},
		{"0::/machine.slice/libpod-conmon-" + testID + ".scope", "/machine.slice/libpod-conmon-" + testID + ".scope", "", ""},
		{"11:memory:/libpod_parent/libpod-" + testID, "/libpod_parent/libpod-" + testID, testID, ""},
		{
			"0::/machine.slice/machine-libpod_pod_" + otherID + ".slice/libpod-" + testID + ".scope/container",
			"/machine.slice/machine-libpod_pod_" + otherID + ".slice/libpod-" + testID + ".scope/container", testID, "",
		},
		// containerd by itself.
		{"0::/system.slice/nerdctl-" + testID + ".scope", "/system.slice/nerdctl-" + testID + ".scope", testID, ""},
		{"9:cpu,cpuacct:/default/" + testID, "/default/" + testID, testID, ""},
		{"0::/default/redis", "/default/redis", "", ""},
		// Kubernetes: containerd, CRI-O, cri-dockerd; both drivers, every quality of service.
		{"0::" + qos + sliceUID + ".slice/cri-containerd-" + testID + ".scope", qos + sliceUID + ".slice/cri-containerd-" + testID + ".scope", testID, testUID},
		{"0::" + qos + sliceUID + ".slice/crio-" + testID + ".scope", qos + sliceUID + ".slice/crio-" + testID + ".scope", testID, testUID},
		{"0::" + qos + sliceUID + ".slice/crio-" + testID + ".scope/container", qos + sliceUID + ".slice/crio-" + testID + ".scope/container", testID, testUID},
		{"0::" + qos + sliceUID + ".slice/crio-conmon-" + testID + ".scope", qos + sliceUID + ".slice/crio-conmon-" + testID + ".scope", "", testUID},
		{"0::" + qos + sliceUID + ".slice/docker-" + testID + ".scope", qos + sliceUID + ".slice/docker-" + testID + ".scope", testID, testUID},
		{
			"0::/kubepods.slice/kubepods-pod" + sliceUID + ".slice/cri-containerd-" + testID + ".scope",
			"/kubepods.slice/kubepods-pod" + sliceUID + ".slice/cri-containerd-" + testID + ".scope", testID, testUID,
		},
		{"0::/kubepods/burstable/pod" + testUID + "/" + testID, "/kubepods/burstable/pod" + testUID + "/" + testID, testID, testUID},
		{"11:pids:/kubepods/pod" + testUID + "/" + testID, "/kubepods/pod" + testUID + "/" + testID, testID, testUID},
		{"0::/kubepods/besteffort/pod" + testUID + "/crio-" + testID, "/kubepods/besteffort/pod" + testUID + "/crio-" + testID, testID, testUID},
		{"0::/kubepods/besteffort/pod" + staticUID + "/" + testID, "/kubepods/besteffort/pod" + staticUID + "/" + testID, testID, staticUID},
		{"0::" + qos + staticUID + ".slice/cri-containerd-" + testID + ".scope", qos + staticUID + ".slice/cri-containerd-" + testID + ".scope", testID, staticUID},
		{
			"1:name=systemd:/system.slice/containerd.service/kubepods-burstable-pod" + sliceUID + ".slice:cri-containerd:" + testID,
			"/system.slice/containerd.service/kubepods-burstable-pod" + sliceUID + ".slice:cri-containerd:" + testID, testID, testUID,
		},
		// A node that is a container itself (kind), and nodes of a test cluster on one machine.
		{
			"0::/docker/" + otherID + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + sliceUID + ".slice/cri-containerd-" + testID + ".scope",
			"/docker/" + otherID + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + sliceUID + ".slice/cri-containerd-" + testID + ".scope",
			testID, testUID,
		},
		{"0::/kt-n1/kubepods/burstable/pod" + testUID + "/" + testID, "/kt-n1/kubepods/burstable/pod" + testUID + "/" + testID, testID, testUID},
		// What looks like a pod and is none.
		{"0::/pod" + testUID + "/" + testID, "/pod" + testUID + "/" + testID, testID, ""},
		{"0::/kubepods/burstable/podinfo/" + testID, "/kubepods/burstable/podinfo/" + testID, testID, ""},
		{"0::/kubepods/burstable/pod" + testUID[:35] + "/" + testID, "/kubepods/burstable/pod" + testUID[:35] + "/" + testID, testID, ""},
		{"0::/kubepods/pod-" + staticUID[:32] + "---", "/kubepods/pod-" + staticUID[:32] + "---", "", ""},
	} {
		if got, want := parseCgroup(tc.text), (group{tc.path, tc.container, tc.pod}); got != want {
			t.Errorf("%q\ngot  %+v\nwant %+v", tc.text, got, want)
		}
	}
}
