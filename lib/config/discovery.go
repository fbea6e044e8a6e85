package config

import "time"

// Discovery selects processes. What decides about a process in a pod, in this order: the pod's annotation
// millrace.dev/observe is "false": never watched; a rule of `exclude_services`: never watched; the annotation is
// "true": watched; a rule of `services`: watched.
type Discovery struct {
	// Services to watch. Empty: every process.
	Services []Service `yaml:"services"`
	// ExcludeServices are never watched, even if `services` selects them.
	ExcludeServices []Service `yaml:"exclude_services"`
	// PodWait is how long capture keeps what it sees of a new pod for itself, until the enricher has said which rules
	// match the pod. Then rules of `services` that name Kubernetes count as not matching, those of `exclude_services` as
	// matching, until it has.
	PodWait time.Duration `yaml:"pod_wait" range:"1s..5m"`
	// PodWaitBytes bounds what capture keeps meanwhile, of all pods of a node; of one pod a quarter of it.
	PodWaitBytes ByteSize `yaml:"pod_wait_bytes" range:"1MiB..1GiB"`
}

// Service is a discovery rule. A process matches when all the criteria that are given match. Those that begin with k8s_
// match processes in pods only; the enricher decides about them, and needs access to the cluster.
type Service struct {
	// Name is the service.name of the processes that match. Empty: derived.
	Name string `yaml:"name"`
	// Namespace is their service.namespace.
	Namespace string `yaml:"namespace"`
	// OpenPorts: the process listens on one of these ports or connects to one of them, for example "80,8000-8999".
	OpenPorts string `yaml:"open_ports" check:"ports"`
	// ExePath is a glob over the path of the executable.
	ExePath string `yaml:"exe_path"`
	// Languages is a glob over the language (go, java, nodejs, python, ruby, php, dotnet, rust, cpp).
	Languages string `yaml:"languages"`
	// K8sNamespace is a glob over the namespace of the process's pod.
	K8sNamespace string `yaml:"k8s_namespace"`
	// K8sPodName is a glob over the name of the pod.
	K8sPodName string `yaml:"k8s_pod_name"`
	// K8sDeploymentName is a glob over the name of the pod's Deployment.
	K8sDeploymentName string `yaml:"k8s_deployment_name"`
	// K8sReplicaSetName is a glob over the name of the pod's ReplicaSet.
	K8sReplicaSetName string `yaml:"k8s_replicaset_name"`
	// K8sStatefulSetName is a glob over the name of the pod's StatefulSet.
	K8sStatefulSetName string `yaml:"k8s_statefulset_name"`
	// K8sDaemonSetName is a glob over the name of the pod's DaemonSet.
	K8sDaemonSetName string `yaml:"k8s_daemonset_name"`
	// K8sJobName is a glob over the name of the pod's Job.
	K8sJobName string `yaml:"k8s_job_name"`
	// K8sCronJobName is a glob over the name of the CronJob that made the pod's Job.
	K8sCronJobName string `yaml:"k8s_cronjob_name"`
	// K8sOwnerName is a glob over the name of whatever owns the pod, of any kind, or owns that.
	K8sOwnerName string `yaml:"k8s_owner_name"`
	// K8sContainerName is a glob over the name of the container in the pod.
	K8sContainerName string `yaml:"k8s_container_name"`
	// K8sNodeName is a glob over the name of the node.
	K8sNodeName string `yaml:"k8s_node_name"`
	// K8sPodLabels are globs over the values of labels of the pod. A pod without the label does not match.
	K8sPodLabels map[string]string `yaml:"k8s_pod_labels"`
	// K8sPodAnnotations are globs over the values of annotations of the pod. A pod without the annotation does not match.
	K8sPodAnnotations map[string]string `yaml:"k8s_pod_annotations"`
	// Routes of these services, looked at before the general ones. Needs `name`.
	Routes ServiceRoutes `yaml:"routes"`
	// Metrics of these services. Needs `name`.
	Metrics ServiceMetrics `yaml:"metrics"`
	// Exports says what is made of these services: metrics, traces or both. Absent: both. An empty list: nothing. Needs
	// `name`.
	Exports []string `yaml:"exports" absent:"true" oneof:"metrics traces"`
	// Sampling of traces that these services take part in, in place of sampling.policies: the share that is kept, from 0
	// to 1, or the name of one of those policies. Of several services of a trace, one is enough to keep it. A policy that
	// drops still does. Empty: sampling.policies decide. Needs `name`.
	Sampling string `yaml:"sampling"`
}

// ServiceRoutes are patterns of paths as in `routes.patterns`.
type ServiceRoutes struct {
	// Incoming requests, that the service answers.
	Incoming []string `yaml:"incoming"`
	// Outgoing requests, that the service makes: what matches becomes url.template.
	Outgoing []string `yaml:"outgoing"`
}

// ServiceMetrics is which metrics are made of a service.
type ServiceMetrics struct {
	// Features in place of `metrics.features`. Absent: those.
	Features []string `yaml:"features" absent:"true" oneof:"application application_host application_process application_span application_service_graph network network_inter_zone network_flow_packets stats"`
}

// Overrides reports whether the rule says what is made of its services, and not only which they are.
func (s Service) Overrides() bool {
	return len(s.Routes.Incoming)+len(s.Routes.Outgoing) > 0 || s.Metrics.Features != nil || s.Exports != nil || s.Sampling != ""
}

// Selects reports whether the rule has a criterion. A rule that has none selects nothing: with its criteria left out it
// would select everything.
func (s Service) Selects() bool {
	return s.OpenPorts != "" || s.ExePath != "" || s.Languages != "" || s.PodCriteria() != nil
}
