package test

import (
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestServicesReachPortsOfPods(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, s := range all[*corev1.Service](c) {
			for _, w := range c.selected(t, s.Name, s.Namespace, labels.SelectorFromSet(s.Spec.Selector)) {
				for _, p := range s.Spec.Ports {
					if !w.listens(p.TargetPort) {
						t.Errorf("Service %s: %s has no port %s", s.Name, w.Name, p.TargetPort.String())
					}
				}
			}
		}
	})
}

func TestPrometheusFindsThePodsAndTheirPort(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		monitors := all[*monitoringv1.PodMonitor](c)
		if len(monitors) != 1 {
			t.Fatalf("%d PodMonitors", len(monitors))
		}
		m := monitors[0]
		for _, w := range c.selected(t, m.Name, m.Namespace, selectorOf(t, &m.Spec.Selector)) {
			for _, e := range m.Spec.PodMetricsEndpoints {
				if guard, ok := w.guard(); e.Port == nil || !ok || !listens(guard, intstr.FromString(*e.Port)) {
					t.Errorf("PodMonitor %s: %s has no port %v", m.Name, w.Name, e.Port)
				}
			}
		}
	})
}

func TestNetworkPoliciesAreAboutPodsAndPortsThatExist(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, p := range all[*networkingv1.NetworkPolicy](c) {
			own := c.selected(t, p.Name, p.Namespace, selectorOf(t, &p.Spec.PodSelector))
			for _, rule := range p.Spec.Ingress {
				c.reach(t, p, own, rule.Ports)
				c.peers(t, p, rule.From)
			}
			for _, rule := range p.Spec.Egress {
				for _, w := range c.peers(t, p, rule.To) {
					c.reach(t, p, []workload{w}, rule.Ports)
				}
			}
		}
	})
}

// peers are the workloads among those whom a rule is about.
func (c cluster) peers(t *testing.T, p *networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer) (found []workload) {
	t.Helper()
	if len(peers) == 0 {
		t.Errorf("NetworkPolicy %s has a rule for everybody", p.Name)
	}
	for _, peer := range peers {
		if peer.PodSelector != nil && peer.NamespaceSelector == nil {
			found = append(found, c.selected(t, p.Name, p.Namespace, selectorOf(t, peer.PodSelector))...)
		}
	}
	return found
}

func (c cluster) reach(t *testing.T, p *networkingv1.NetworkPolicy, workloads []workload, ports []networkingv1.NetworkPolicyPort) {
	t.Helper()
	if len(ports) == 0 {
		t.Errorf("NetworkPolicy %s has a rule for every port", p.Name)
	}
	for _, w := range workloads {
		for _, port := range ports {
			if !w.listens(*port.Port) {
				t.Errorf("NetworkPolicy %s: %s has no port %s", p.Name, w.Name, port.Port)
			}
		}
	}
}

// Every port that a Pod of a policy has can be reached by somebody.
func TestNoPortIsForgottenByTheNetworkPolicies(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, p := range all[*networkingv1.NetworkPolicy](c) {
			allowed := 0
			for _, rule := range p.Spec.Ingress {
				allowed += len(rule.Ports)
			}
			for _, w := range c.selected(t, p.Name, p.Namespace, selectorOf(t, &p.Spec.PodSelector)) {
				ports := 0
				for _, container := range w.containers() {
					ports += len(container.Ports)
				}
				if ports != allowed {
					t.Errorf("NetworkPolicy %s: %d ports of %s, %d allowed", p.Name, ports, w.Name, allowed)
				}
			}
		}
	})
}

func TestTheAutoscalerScalesADeploymentThatLeavesItThat(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, h := range all[*autoscalingv2.HorizontalPodAutoscaler](c) {
			w, target := c.guarded(t), h.Spec.ScaleTargetRef
			if target.Kind != w.kind || target.Name != w.Name || target.APIVersion != "apps/v1" || h.Namespace != w.Namespace {
				t.Errorf("it scales %v", target)
			}
			for _, container := range w.containers() {
				if container.Resources.Requests.Cpu().IsZero() {
					t.Errorf("%s requests no CPU that there could be a part of", container.Name)
				}
			}
			for _, b := range all[*policyv1.PodDisruptionBudget](c) {
				if b.Spec.MaxUnavailable.IntValue() < 1 || b.Spec.MaxUnavailable.IntValue() >= int(*h.Spec.MinReplicas) {
					t.Errorf("of %d Pods %v may be missing", *h.Spec.MinReplicas, b.Spec.MaxUnavailable)
				}
				c.selected(t, b.Name, b.Namespace, selectorOf(t, b.Spec.Selector))
			}
		}
	})
}

func TestNamesAreNames(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, o := range c.objects {
			m, err := meta.Accessor(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range validation.IsDNS1123Label(m.GetName()) {
				t.Errorf("%s: %s", m.GetName(), problem)
			}
		}
		for _, w := range c.workloads() {
			for _, container := range w.containers() {
				for _, p := range container.Ports {
					for _, problem := range validation.IsValidPortName(p.Name) {
						t.Errorf("%s: port %s: %s", container.Name, p.Name, problem)
					}
				}
			}
		}
	})
}
