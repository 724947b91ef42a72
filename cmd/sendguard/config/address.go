package config

import (
	"net"
	"strconv"
)

// addressProblem says what is wrong with a host:port; "" is nothing.
func addressProblem(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return strconv.Quote(address) + " is not host:port"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return strconv.Quote(address) + ": the port is not a number up to 65535"
	}
	return ""
}

// IsLoopback reports whether a host in a configuration is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// sameAddress reports whether two host:port mean the same listener.
func sameAddress(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || covers(hostA, hostB) || covers(hostB, hostA)
}

// covers reports whether a listener on the first host takes the second, too.
func covers(host, other string) bool {
	switch host {
	case "localhost":
		return IsLoopback(other)
	case "", "::":
		return IsLoopback(other) || other == "" || other == "::" || other == "0.0.0.0"
	case "0.0.0.0":
		return IsLoopback(other) && other != "::1"
	}
	return false
}
