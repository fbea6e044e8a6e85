// Command manifests says what is wrong with manifests, by the types of one version of Kubernetes: fields that it does
// not know, values of another type, fields given twice. Pods must keep to the `restricted` Pod Security Standard,
// except those of capture. It reads YAML documents from standard input.
//
// The version is the one of the go.mod: kubernetes-1.N.mod beside it are for older ones (go build -modfile).
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

func main() {
	count, problems, err := check(os.Stdin)
	for _, problem := range problems {
		fmt.Println(problem)
	}
	if err != nil {
		fmt.Println(err)
	}
	if err != nil || len(problems) > 0 || count == 0 {
		fmt.Printf("%d objects, %d problems\n", count, len(problems))
		os.Exit(1)
	}
	fmt.Printf("%d objects are right\n", count)
}

// check gives the number of Kubernetes' own objects, and what is wrong with them.
func check(manifests io.Reader) (count int, problems []string, err error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, rbacv1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		autoscalingv2.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			return 0, nil, fmt.Errorf("types: %w", err)
		}
	}
	evaluator, err := standards()
	if err != nil {
		return 0, nil, err
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	documents := yaml.NewYAMLReader(bufio.NewReader(manifests))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return count, problems, nil
		}
		if err != nil {
			return count, problems, fmt.Errorf("read: %w", err)
		}
		if blank(string(document)) {
			continue
		}
		object, kind, err := strict.Decode(document, nil, nil)
		if kind != nil && (strings.HasSuffix(kind.Group, ".coreos.com") || strings.HasSuffix(kind.Group, "keda.sh")) {
			continue // Of operators; their own types say what is right.
		}
		count++
		if err != nil {
			problems = append(problems, fmt.Sprintf("%v in\n%.300s", err, document))
			continue
		}
		problems = append(problems, insecure(evaluator, object)...)
	}
}

// standards are the Pod Security Standards. What makes them takes the checks, and from Kubernetes 1.35 on a version to
// emulate, which may be absent.
func standards() (policy.Evaluator, error) {
	newEvaluator := reflect.ValueOf(policy.NewEvaluator)
	arguments := []reflect.Value{reflect.ValueOf(policy.DefaultChecks())}
	for i := 1; i < newEvaluator.Type().NumIn(); i++ {
		arguments = append(arguments, reflect.Zero(newEvaluator.Type().In(i)))
	}
	results := newEvaluator.Call(arguments)
	if err, failed := results[1].Interface().(error); failed {
		return nil, fmt.Errorf("make the Pod Security Standards: %w", err)
	}
	evaluator, _ := results[0].Interface().(policy.Evaluator)
	return evaluator, nil
}

func blank(document string) bool {
	for line := range strings.Lines(document) {
		if line = strings.TrimSpace(line); line != "" && line != "---" && !strings.HasPrefix(line, "#") {
			return false
		}
	}
	return true
}

// insecure says what `restricted` forbids of an object's pods.
func insecure(evaluator policy.Evaluator, object runtime.Object) []string {
	var name string
	var template corev1.PodTemplateSpec
	switch o := object.(type) {
	case *appsv1.Deployment:
		name, template = o.Name, o.Spec.Template
	case *appsv1.StatefulSet:
		name, template = o.Name, o.Spec.Template
	case *appsv1.DaemonSet:
		name, template = o.Name, o.Spec.Template
	case *batchv1.Job:
		name, template = o.Name, o.Spec.Template
	case *corev1.Pod:
		name, template = o.Name, corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
	default:
		return nil
	}
	if template.Labels["app.kubernetes.io/component"] == "capture" {
		return nil
	}
	var problems []string
	level := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &metav1.ObjectMeta{Name: name, Annotations: template.Annotations}, &template.Spec) {
		if !result.Allowed {
			problems = append(problems, fmt.Sprintf("%s: restricted: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return problems
}
