package test

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

// known are the words that the API server takes for the types of words that the
// manifests use; decoding takes any.
var known = map[reflect.Type][]string{
	reflect.TypeFor[autoscalingv2.MetricSourceType]():          {"ContainerResource", "External", "Object", "Pods", "Resource"},
	reflect.TypeFor[autoscalingv2.MetricTargetType]():          {"Utilization", "Value", "AverageValue"},
	reflect.TypeFor[certmanagerv1.PrivateKeyAlgorithm]():       {"RSA", "ECDSA", "Ed25519"},
	reflect.TypeFor[certmanagerv1.PrivateKeyRotationPolicy]():  {"Never", "Always"},
	reflect.TypeFor[corev1.Capability]():                       {"ALL"},
	reflect.TypeFor[corev1.ContainerRestartPolicy]():           {"Always", "Never", "OnFailure"},
	reflect.TypeFor[corev1.PersistentVolumeAccessMode]():       {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
	reflect.TypeFor[corev1.Protocol]():                         {"TCP", "UDP", "SCTP"},
	reflect.TypeFor[corev1.ResourceName]():                     {"cpu", "memory", "storage", "ephemeral-storage"},
	reflect.TypeFor[corev1.SeccompProfileType]():               {"Unconfined", "RuntimeDefault", "Localhost"},
	reflect.TypeFor[corev1.SecretType]():                       {"Opaque", "kubernetes.io/tls"},
	reflect.TypeFor[corev1.ServiceExternalTrafficPolicy]():     {"Cluster", "Local"},
	reflect.TypeFor[corev1.ServiceType]():                      {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
	reflect.TypeFor[corev1.UnsatisfiableConstraintAction]():    {"DoNotSchedule", "ScheduleAnyway"},
	reflect.TypeFor[networkingv1.PolicyType]():                 {"Ingress", "Egress"},
	reflect.TypeFor[policyv1.UnhealthyPodEvictionPolicyType](): {"IfHealthyBudget", "AlwaysAllow"},
}

func TestWordsAreThoseOfTheAPI(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		for _, o := range c.objects {
			words(t, o.GetObjectKind().GroupVersionKind().Kind, reflect.ValueOf(o))
		}
	})
}

// words looks at all values of a type that is a word's.
func words(t *testing.T, at string, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			words(t, at, v.Elem())
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[resource.Quantity]() {
			return // decoding has read it
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				words(t, at+"."+v.Type().Field(i).Name, v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			words(t, fmt.Sprintf("%s[%d]", at, i), v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			words(t, at, key)
			words(t, fmt.Sprintf("%s[%v]", at, key), v.MapIndex(key))
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() || v.Type() == reflect.TypeFor[types.UID]() || v.String() == "" {
			return
		}
		if all, ok := known[v.Type()]; !ok || !slices.Contains(all, v.String()) {
			t.Errorf("%s: %q, of %v", at, v.String(), v.Type())
		}
	}
}
