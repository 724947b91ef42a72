package test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

const kustomize = "sigs.k8s.io/kustomize/kustomize/v5@v5.8.0"

// program is sendguard, built from this repository.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "sendguard")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/sendguard")
	cmd.Dir = "../../.."
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// scratch is the folder of the whole run.
var scratch string

func TestMain(m *testing.M) {
	var err error
	if scratch, err = os.MkdirTemp("", "sendguard-kubernetes-"); err != nil {
		panic(err)
	}
	status := m.Run()
	os.RemoveAll(scratch)
	os.Exit(status)
}

// sendguard runs a command of it to its end.
func sendguard(t *testing.T, input string, args ...string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewBufferString(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("sendguard %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// A cluster is what kustomize makes of a folder.
type cluster struct {
	name    string
	objects []runtime.Object
}

// clusters are all folders that can be applied, with the secrets that the README
// has somebody make.
var clusters = sync.OnceValues(func() ([]cluster, error) {
	if err := os.CopyFS(filepath.Join(scratch, "kubernetes"), os.DirFS("..")); err != nil {
		return nil, err
	}
	for _, name := range []string{"smtp-password", "redis-password", "users"} {
		if err := os.WriteFile(filepath.Join(scratch, "kubernetes/replicas/secrets", name), []byte("5ec2e7"), 0o600); err != nil {
			return nil, err
		}
	}
	var all []cluster
	for _, name := range []string{"replicas", "sidecar-example"} {
		cmd := exec.Command("go", "run", kustomize, "build", filepath.Join(scratch, "kubernetes", name))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("kustomize build %s: %w\n%s", name, err, stderr.Bytes())
		}
		objects, err := decode(out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, cluster{name, objects})
	}
	return all, nil
})

// decode reads manifests strictly: an unknown or a doubled key is an error.
func decode(manifests []byte) (objects []runtime.Object, err error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, appsv1.AddToScheme, autoscalingv2.AddToScheme,
		networkingv1.AddToScheme, policyv1.AddToScheme, monitoringv1.AddToScheme, certmanagerv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object, _, err := strict.Decode(document, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%w in\n%s", err, document)
		}
		objects = append(objects, object)
	}
}

// everywhere runs a test on each cluster.
func everywhere(t *testing.T, test func(t *testing.T, c cluster)) {
	all, err := clusters()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

// all returns the objects of one kind.
func all[T runtime.Object](c cluster) (found []T) {
	for _, o := range c.objects {
		if o, ok := o.(T); ok {
			found = append(found, o)
		}
	}
	return found
}
