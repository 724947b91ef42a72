// Package test holds the manifests of the folder above against the types of the
// Kubernetes API, against each other, and against sendguard itself. It is a module
// of its own: nobody who builds sendguard needs these types.
package test
