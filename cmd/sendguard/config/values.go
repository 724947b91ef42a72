package config

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"

	"sendguard/policy"
	"sendguard/proxy/upstream"
)

// A limit is a number or "unlimited".
type limit policy.Limit

func (l *limit) UnmarshalText(text []byte) error {
	if string(text) == "unlimited" {
		*l = limit(policy.Unlimited)
		return nil
	}
	n, err := strconv.Atoi(string(text))
	if err != nil || n < 0 {
		return fmt.Errorf(`want a number, or "unlimited"`)
	}
	*l = limit(n)
	return nil
}

func (l limit) MarshalYAML() (any, error) {
	if policy.Limit(l) == policy.Unlimited {
		return "unlimited", nil
	}
	return int(l), nil
}

// limits and ruleLimits have a key for each row of the policy's table.
type (
	limits     [policy.CountedKinds]limit
	ruleLimits [policy.CountedKinds]*limit
)

// notSet is no limit either: the file does not have the key.
const notSet limit = limit(policy.Unlimited) - 1

// defaultBody is the limit for bodies that are inspected where the file sets none.
const defaultBody limit = 25

// limitBodies sets the limit for bodies that the file leaves out.
func (p *policyConfig) limitBodies() {
	body := &p.Limits[policy.InBody]
	switch {
	case *body != notSet:
	case p.Inspect.Body:
		*body = defaultBody
	default:
		*body = limit(policy.Unlimited)
	}
}

func (l limits) MarshalYAML() (any, error) {
	return byKey(func(c policy.Counted) any { return l[c] })
}

func (l ruleLimits) MarshalYAML() (any, error) {
	return byKey(func(c policy.Counted) any {
		if l[c] == nil {
			return nil
		}
		return *l[c]
	})
}

// IsZero reports that a rule sets no limit.
func (l ruleLimits) IsZero() bool { return l == ruleLimits{} }

// byKey makes a mapping of what there is for each row, in their order.
func byKey(value func(policy.Counted) any) (any, error) {
	var n yaml.Node
	n.Kind = yaml.MappingNode
	for c := range policy.CountedKinds {
		v := value(c)
		if v == nil {
			continue
		}
		var node yaml.Node
		if err := node.Encode(v); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: c.Key()}, &node)
	}
	return &n, nil
}

// messageBytes is a number of bytes or "upstream", which is zero.
type messageBytes int64

func (m *messageBytes) UnmarshalText(text []byte) error {
	if string(text) == "upstream" {
		*m = 0
		return nil
	}
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil || n <= 0 {
		return fmt.Errorf(`want a number of bytes, or "upstream"`)
	}
	*m = messageBytes(n)
	return nil
}

func (m messageBytes) MarshalYAML() (any, error) {
	if m == 0 {
		return "upstream", nil
	}
	return int64(m), nil
}

// A state names where unfinished sends are remembered.
type state string

var statePassword = regexp.MustCompile(`://.*@`) // it may hold an @ itself

// MarshalYAML hides the password of a Redis server.
func (s state) MarshalYAML() (any, error) {
	return statePassword.ReplaceAllString(string(s), "://(hidden)@"), nil
}

// A fileMode is written in octal.
type fileMode os.FileMode

func (m *fileMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("want an octal mode like 0660")
	}
	*m = fileMode(n)
	return nil
}

func (m fileMode) MarshalYAML() (any, error) { return fmt.Sprintf("%04o", uint32(m)), nil }

// A mechanism is the name of a SASL mechanism, in lower case, or auto.
type mechanism upstream.Mechanism

const mechanismAuto = "auto"

func (m *mechanism) UnmarshalText(text []byte) error {
	names := []string{mechanismAuto}
	for _, known := range upstream.Mechanisms() {
		names = append(names, strings.ToLower(string(known)))
	}
	if !slices.Contains(names, string(text)) {
		return fmt.Errorf("want one of %s", strings.Join(names, ", "))
	}
	*m = ""
	if string(text) != mechanismAuto {
		*m = mechanism(strings.ToUpper(string(text)))
	}
	return nil
}

func (m mechanism) MarshalYAML() (any, error) {
	if m == "" {
		return mechanismAuto, nil
	}
	return strings.ToLower(string(m)), nil
}

// A network is written as 10.0.0.0/8, or as a single address.
type network netip.Prefix

func (n *network) UnmarshalText(text []byte) error {
	p, err := netip.ParsePrefix(string(text))
	if addr, addrErr := netip.ParseAddr(string(text)); addrErr == nil && addr.Zone() == "" {
		p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil || p.Addr().Is4In6() {
		return fmt.Errorf("want a network or an address, 10.0.0.0/8 or fd00::1 for example")
	}
	*n = network(p.Masked())
	return nil
}

func (n network) MarshalYAML() (any, error) { return netip.Prefix(n).String(), nil }

// A secret is a string that is not printed.
type secret string

func (s secret) MarshalYAML() (any, error) {
	if s == "" {
		return "", nil
	}
	return "(hidden)", nil
}
