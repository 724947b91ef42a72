package test

import (
	"maps"
	"slices"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// A workload is what makes Pods.
type workload struct {
	metav1.ObjectMeta
	kind     string
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
	claims   []corev1.PersistentVolumeClaim
}

func (c cluster) workloads() (found []workload) {
	for _, d := range all[*appsv1.Deployment](c) {
		found = append(found, workload{d.ObjectMeta, "Deployment", d.Spec.Selector, d.Spec.Template, nil})
	}
	for _, s := range all[*appsv1.StatefulSet](c) {
		found = append(found, workload{s.ObjectMeta, "StatefulSet", s.Spec.Selector, s.Spec.Template, s.Spec.VolumeClaimTemplates})
	}
	return found
}

// selected are the workloads whose Pods a selector of a namespace finds; it is an
// error where there are none.
func (c cluster) selected(t *testing.T, who, namespace string, selector labels.Selector) (found []workload) {
	t.Helper()
	for _, w := range c.workloads() {
		if w.Namespace == namespace && selector.Matches(labels.Set(w.pod.Labels)) {
			found = append(found, w)
		}
	}
	if selector.Empty() || len(found) == 0 {
		t.Errorf("%s: the selector %q finds no Pod, or all", who, selector)
	}
	return found
}

func selectorOf(t *testing.T, s *metav1.LabelSelector) labels.Selector {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector
}

// containers are those of init containers that stay, too.
func (w workload) containers() []corev1.Container {
	return slices.Concat(w.pod.Spec.InitContainers, w.pod.Spec.Containers)
}

// guard is the container of a workload that is sendguard.
func (w workload) guard() (corev1.Container, bool) {
	for _, c := range w.containers() {
		if c.Name == "sendguard" {
			return c, true
		}
	}
	return corev1.Container{}, false
}

// guarded are the workloads with a guard, of which each cluster has one.
func (c cluster) guarded(t *testing.T) workload {
	t.Helper()
	for _, w := range c.workloads() {
		if _, ok := w.guard(); ok {
			return w
		}
	}
	t.Fatal("no guard")
	return workload{}
}

// listens reports whether a container has a port of this name or number.
func listens(c corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return port.Type == intstr.String && p.Name == port.StrVal || port.Type == intstr.Int && p.ContainerPort == port.IntVal
	})
}

func (w workload) listens(port intstr.IntOrString) bool {
	return slices.ContainsFunc(w.containers(), func(c corev1.Container) bool { return listens(c, port) })
}

func TestPodsMeetTheRestrictedStandard(t *testing.T) {
	checks, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	everywhere(t, func(t *testing.T, c cluster) {
		for _, w := range c.workloads() {
			for _, r := range checks.EvaluatePod(psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}, &w.pod.ObjectMeta, &w.pod.Spec) {
				if !r.Allowed {
					t.Errorf("%s: %s: %s", w.Name, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
		}
	})
}

func TestPodsHaveTheLabelsOfTheirWorkload(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, w := range c.workloads() {
			if !selectorOf(t, w.selector).Matches(labels.Set(w.pod.Labels)) {
				t.Errorf("%s has Pods with %v", w.Name, w.pod.Labels)
			}
			for _, s := range w.pod.Spec.TopologySpreadConstraints {
				if !selectorOf(t, s.LabelSelector).Matches(labels.Set(w.pod.Labels)) {
					t.Errorf("%s is spread by labels that it has not", w.Name)
				}
			}
		}
	})
}

func TestProbesAskPortsOfTheirContainer(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, w := range c.workloads() {
			for _, container := range w.containers() {
				for _, p := range []*corev1.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
					switch {
					case p == nil:
					case p.HTTPGet != nil && listens(container, p.HTTPGet.Port), p.TCPSocket != nil && listens(container, p.TCPSocket.Port):
					default:
						t.Errorf("%s: a probe of %s asks %v", w.Name, container.Name, p.ProbeHandler)
					}
				}
			}
		}
	})
}

// A sidecar is an init container that stays; without a startup probe the
// application would begin before there is a guard.
func TestTheSidecarIsThereBeforeTheApplicationAndAfterIt(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		w := c.guarded(t)
		for i, container := range w.pod.Spec.InitContainers {
			if i > 0 || container.Name != "sendguard" || container.RestartPolicy == nil || *container.RestartPolicy != corev1.ContainerRestartPolicyAlways || container.StartupProbe == nil {
				t.Errorf("init container %d, %s, is no sidecar", i, container.Name)
			}
		}
		if c.name == "sidecar-example" && len(w.pod.Spec.InitContainers) != 1 {
			t.Error("the sidecar is missing")
		}
	})
}

// keys are the keys of ConfigMaps ("ConfigMap/NAME") and Secrets of a namespace.
func (c cluster) keys(namespace string) map[string][]string {
	found := map[string][]string{}
	for _, m := range all[*corev1.ConfigMap](c) {
		if m.Namespace == namespace {
			found["ConfigMap/"+m.Name] = slices.Collect(maps.Keys(m.Data))
		}
	}
	for _, s := range all[*corev1.Secret](c) {
		if s.Namespace == namespace {
			found["Secret/"+s.Name] = slices.Collect(maps.Keys(s.Data))
		}
	}
	for _, k := range all[*certmanagerv1.Certificate](c) {
		if k.Namespace == namespace {
			found["Secret/"+k.Spec.SecretName] = []string{"tls.crt", "tls.key", "ca.crt"}
		}
	}
	return found
}

func TestWhatContainersMountAndReadExists(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, w := range c.workloads() {
			keys := c.keys(w.Namespace)
			for _, container := range w.containers() {
				for _, m := range container.VolumeMounts {
					if len(w.mounted(keys, m.Name)) == 0 {
						t.Errorf("%s: nothing is mounted at %s", container.Name, m.MountPath)
					}
				}
				for _, e := range container.Env {
					if r := e.ValueFrom; r != nil && !slices.Contains(keys["Secret/"+r.SecretKeyRef.Name], r.SecretKeyRef.Key) {
						t.Errorf("%s: no Secret has %s", container.Name, e.Name)
					}
				}
			}
		}
	})
}

// mounted are the files that a volume has; "" for one to write to.
func (w workload) mounted(keys map[string][]string, volume string) []string {
	for _, claim := range w.claims {
		if claim.Name == volume {
			return []string{""}
		}
	}
	for _, v := range w.pod.Spec.Volumes {
		switch {
		case v.Name != volume:
		case v.EmptyDir != nil:
			return []string{""}
		case v.ConfigMap != nil:
			return items(keys["ConfigMap/"+v.ConfigMap.Name], v.ConfigMap.Items)
		case v.Secret != nil:
			return items(keys["Secret/"+v.Secret.SecretName], v.Secret.Items)
		}
	}
	return nil
}

// items are the files of some keys; none where one of them does not exist.
func items(keys []string, chosen []corev1.KeyToPath) (files []string) {
	if len(chosen) == 0 {
		return keys
	}
	for _, item := range chosen {
		if !slices.Contains(keys, item.Key) {
			return nil
		}
		files = append(files, item.Path)
	}
	return files
}
