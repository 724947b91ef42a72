package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sendguard/policy"
	"sendguard/proxy/unfinished"
	"sendguard/proxy/users"
)

// labelName is what can be the name of a route or rule in logs and metrics.
var labelName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// check reports what can be decoded and still makes no sense.
func (c *Config) check(d *decoder) {
	if len(c.Routes) == 0 {
		d.problem("routes", "at least one route is needed")
	}
	for i := range c.Routes {
		c.checkRoute(d, i)
	}
	c.checkRules(d)
	c.checkInspect(d)
	if _, err := policy.New(c.PolicySettings()); err != nil {
		key, text, _ := strings.Cut(err.Error(), ": ")
		d.problem("policy."+key, "%s", words(text))
	}
	c.checkIndividual(d)
	c.Server.check(d)
	if problem := addressProblem(c.Metrics.Listen); problem != "" {
		d.problem("metrics.listen", "%s", words(problem))
	}
	for _, r := range c.Routes {
		if sameAddress(r.Listen, c.Metrics.Listen) {
			d.problem("metrics.listen", "%s is taken by route %s", c.Metrics.Listen, r.Name)
		}
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level) {
		d.problem("log.level", "%q is none of debug, info, warn, error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		d.problem("log.format", "%q is none of text, json", c.Log.Format)
	}
}

func (c *Config) checkIndividual(d *decoder) {
	i := &c.Policy.Individual
	if i.TimeBudget <= 0 {
		d.problem("policy.individual.time_budget", "must be more than zero")
	}
	if path, ok := strings.CutPrefix(string(i.State), "bolt:"); ok && path != "" {
		path = d.relative(path)
		i.State = state("bolt:" + path)
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			d.problem("policy.individual.state", "the folder of the file: %v", aboutFile(err, filepath.Dir(path)))
		}
	}
	if err := unfinished.Check(string(i.State)); err != nil {
		d.problem("policy.individual.state", "%s", words(err.Error()))
	}
	if dir := &c.Server.SpoolDir; *dir != "" {
		*dir = d.relative(*dir)
		if info, err := os.Stat(*dir); err != nil {
			d.problem("server.spool_dir", "%v", aboutFile(err, *dir))
		} else if !info.IsDir() {
			d.problem("server.spool_dir", "%s is not a folder", *dir)
		}
	}
}

func (c *Config) checkRules(d *decoder) {
	for i, r := range c.Policy.Rules {
		key := fmt.Sprintf("policy.rules[%d]", i)
		if !labelName.MatchString(r.Name) || r.Name == policy.RulePolicy {
			d.problem(key+".name", "%q: use letters, digits, - and _, at most 64, and not %q", r.Name, policy.RulePolicy)
		}
		for _, other := range c.Policy.Rules[:i] {
			if other.Name == r.Name {
				d.problem(key+".name", "%q is the name of another rule", r.Name)
			}
		}
		if reflect.ValueOf(r.Match).IsZero() {
			d.problem(key, "has no match (for all messages: set the policy's own values)")
		}
		if len(r.Match.User) > 0 && !slices.ContainsFunc(c.Routes, func(r routeConfig) bool { return r.UsersFile != "" }) {
			d.problem(key+".match.user", "no route has a users_file, so nobody's name is known")
		}
		for _, name := range r.Match.Route {
			if !slices.ContainsFunc(c.Routes, func(r routeConfig) bool { return r.Name == name }) {
				d.problem(key+".match.route", "there is no route %q", name)
			}
		}
	}
}

// checkInspect reports limits for what is not looked at.
func (c *Config) checkInspect(d *decoder) {
	if c.Policy.Inspect.Body {
		return
	}
	const text = "needs inspect: {body: true}"
	if policy.Limit(c.Policy.Limits[policy.InBody]) != policy.Unlimited {
		d.problem("policy.limits.body", text)
	}
	for i, r := range c.Policy.Rules {
		if r.Limits[policy.InBody] != nil {
			d.problem(fmt.Sprintf("policy.rules[%d].limits.body", i), text)
		}
	}
}

func (c *Config) checkRoute(d *decoder, i int) {
	r := &c.Routes[i]
	key := fmt.Sprintf("routes[%d]", i)
	if !labelName.MatchString(r.Name) {
		d.problem(key+".name", "%q: use letters, digits, - and _, at most 64", r.Name)
	}
	for _, other := range c.Routes[:i] {
		if other.Name == r.Name {
			d.problem(key+".name", "%q is the name of another route", r.Name)
		}
		if r.Listen != "" && sameAddress(other.Listen, r.Listen) {
			d.problem(key+".listen", "%s is taken by route %s", r.Listen, other.Name)
		}
	}
	r.checkUsers(d, key)
	r.checkListen(d, key)
	c.checkUpstream(d, key+".upstream", &r.Upstream)
	r.checkOAuth2(d, key+".upstream.oauth2")
}

func (r *routeConfig) checkUsers(d *decoder, key string) {
	if r.UsersFile == "" {
		return
	}
	if r.Upstream.Auth == authRelay {
		d.problem(key+".users_file", "only with upstream.auth: login or none; with relay it is the upstream that knows the users")
	}
	r.UsersFile = d.relative(r.UsersFile)
	if err := users.CheckFile(r.UsersFile); err != nil {
		d.problem(key+".users_file", "%v (make one with: sendguard user NAME --file %s)", aboutFile(err, r.UsersFile), r.UsersFile)
	}
}

func (s *serverConfig) check(d *decoder) {
	for key, n := range map[string]int64{
		"connections": int64(s.Connections), "connections_per_client": int64(s.ConnectionsPerClient), "recipients": int64(s.Recipients),
		"max_header_bytes": int64(s.MaxHeaderBytes), "max_line_bytes": int64(s.MaxLineBytes), "buffer_bytes": s.BufferBytes,
		"idle": int64(s.Idle), "stall": int64(s.Stall), "connect": int64(s.Connect), "upstream_reply": int64(s.UpstreamReply), "shutdown": int64(s.Shutdown),
	} {
		if n <= 0 {
			d.problem("server."+key, "must be more than zero")
		}
	}
	if s.MaxLineBytes > 0 && s.MaxLineBytes < 1000 {
		d.problem("server.max_line_bytes", "%d is less than the 1000 bytes of an ordinary header line (RFC 5322)", s.MaxLineBytes)
	}
}
