package proxy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"sendguard/policy"
	"sendguard/proxy/upstream"
)

// upstreamCommands are what an upstream replies to; "connect" is its greeting,
// "message" the end of DATA.
var upstreamCommands = []string{"connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message", "rset", "noop"}

// connectResults are the values of result in upstream_connects_total.
var connectResults = []string{"ok", "refused", "failed", "reused"}

// Metrics are what sendguard counts. All labels have closed sets of values,
// and each series starts at zero.
type Metrics struct {
	registry *prometheus.Registry

	messages, blocked, concealed, outcomes *prometheus.CounterVec
	visible, size, duration                *prometheus.HistogramVec
	decision                               prometheus.Histogram
	loaded, loadedAt                       prometheus.Gauge
	copies                                 *prometheus.CounterVec
	open, tokenExpiry, loginRequired       *prometheus.GaugeVec
	sessions, faults, connects, replies    *prometheus.CounterVec
	refreshes                              *prometheus.CounterVec
}

// NewMetrics makes the metrics for the given routes and rules, in a registry of
// their own.
func NewMetrics(routes, rules []string, build Build) *Metrics {
	reg := prometheus.NewRegistry()
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "sendguard", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "sendguard", Name: name, Help: help}, []string{"route"})
		reg.MustRegister(g)
		return g
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "sendguard", Name: name, Help: help, Buckets: buckets}, labels)
		reg.MustRegister(h)
		return h
	}
	m := &Metrics{
		registry:  reg,
		messages:  counter("messages_total", "Messages that were decided about.", "route", "rule", "verdict", "reason"),
		blocked:   counter("blocked_sends_total", "Messages that the policy refused.", "route", "rule", "reason"),
		concealed: counter("concealed_addresses_total", "Addresses that a refusal or a rewrite kept from being shown to every recipient.", "route", "rule"),
		outcomes:  counter("message_outcomes_total", "Messages by how their passage ended.", "route", "outcome"),
		visible: histogram("visible_addresses", "Distinct addresses that every recipient of a message would see in its header.",
			[]float64{0, 1, 2, 5, 10, 15, 25, 50, 100, 250, 1000}, "route"),
		size:     histogram("message_size_bytes", "Size of messages as far as they came.", prometheus.ExponentialBuckets(1024, 4, 9), "route"),
		duration: histogram("message_duration_seconds", "Time from DATA to the reply to the message.", prometheus.ExponentialBuckets(0.001, 4, 10), "route"),
		decision: histogram("decision_duration_seconds", "Time in which the policy decided about a message.",
			[]float64{1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1}).WithLabelValues().(prometheus.Histogram),
		open:          gauge("open_sessions", "Client connections that are open."),
		tokenExpiry:   gauge("oauth_token_expiry_timestamp_seconds", "When the OAuth2 access token ends that is in use."),
		loginRequired: gauge("oauth_login_required", "Whether somebody has to run sendguard login."),
		refreshes:     counter("oauth_refreshes_total", "OAuth2 tokens asked for: ok, refused by the provider, or failed.", "route", "result"),
		sessions:      counter("sessions_total", "Client connections that were accepted.", "route"),
		faults:        counter("session_faults_total", "What went wrong in sessions.", "route", "fault"),
		loaded: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sendguard", Name: "config_last_reload_successful",
			Help: "Whether the last attempt to load the configuration succeeded."}),
		loadedAt: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "sendguard", Name: "config_last_reload_success_timestamp_seconds",
			Help: "When the configuration in force was loaded."}),
		copies:   counter("individual_copies_total", "Copies for one recipient each: accepted by the upstream, refused by it, failed, or remembered from an earlier try.", "route", "result"),
		connects: counter("upstream_connects_total", "Connections to the upstream: ok, refused by it, failed, or one that was kept open and reused.", "route", "result"),
		replies:  counter("upstream_replies_total", "Replies of the upstream.", "route", "command", "class"),
	}
	m.loaded.Set(1)
	m.loadedAt.SetToCurrentTime()
	reg.MustRegister(m.loaded, m.loadedAt, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build.register(reg)
	for _, route := range routes {
		m.zero(route)
		for _, rule := range rules {
			m.zeroRule(route, rule)
		}
	}
	return m
}

// ConfigLoaded notes how an attempt to load the configuration anew ended.
func (m *Metrics) ConfigLoaded(err error) {
	if err != nil {
		m.loaded.Set(0)
		return
	}
	m.loaded.Set(1)
	m.loadedAt.SetToCurrentTime()
}

// zero creates every series of a route, so that its first increment is seen.
func (m *Metrics) zero(route string) {
	for _, o := range outcomes {
		m.outcomes.WithLabelValues(route, string(o))
	}
	for _, h := range []*prometheus.HistogramVec{m.visible, m.size, m.duration} {
		h.WithLabelValues(route)
	}
	m.open.WithLabelValues(route)
	m.sessions.WithLabelValues(route)
	for _, f := range faults {
		m.faults.WithLabelValues(route, string(f))
	}
	for _, r := range copyResults {
		m.copies.WithLabelValues(route, r)
	}
	for _, r := range connectResults {
		m.connects.WithLabelValues(route, r)
	}
	for _, c := range upstreamCommands {
		for _, class := range []string{"2xx", "4xx", "5xx"} {
			m.replies.WithLabelValues(route, c, class)
		}
	}
}

func (m *Metrics) zeroRule(route, rule string) {
	for _, o := range policy.PossibleVerdicts() {
		m.messages.WithLabelValues(route, rule, string(o.Action), string(o.Reason))
		if o.Action == policy.Reject {
			m.blocked.WithLabelValues(route, rule, string(o.Reason))
		}
	}
	m.concealed.WithLabelValues(route, rule)
}

func (m *Metrics) fault(route string, f fault) { m.faults.WithLabelValues(route, string(f)).Inc() }

func (m *Metrics) decided(took time.Duration) { m.decision.Observe(took.Seconds()) }

// replied counts a reply of the upstream. 334 and 354 ask for more and are
// none yet.
func (m *Metrics) replied(route, command string, code int) {
	if code/100 == 3 {
		return
	}
	m.replies.WithLabelValues(route, command, strconv.Itoa(code/100)+"xx").Inc()
}

// connected counts an attempt to connect and how it ended.
func (m *Metrics) connected(route string, err error) {
	result := "ok"
	switch {
	case errors.Is(err, upstream.ErrNoDescriptors): // nothing was tried
		return
	case errors.As(err, new(*upstream.Refusal)), errors.Is(err, upstream.ErrLoginRefused):
		result = "refused"
	case err != nil:
		result = "failed"
	}
	m.connects.WithLabelValues(route, result).Inc()
}

func (m *Metrics) reused(route string) { m.connects.WithLabelValues(route, "reused").Inc() }

// message counts a message at its end: how that was, the bytes that came, and the
// verdict, if there was one.
func (m *Metrics) message(route string, ended outcome, bytes int64, took time.Duration, v *policy.Verdict) {
	m.outcomes.WithLabelValues(route, string(ended)).Inc()
	m.size.WithLabelValues(route).Observe(float64(bytes))
	m.duration.WithLabelValues(route).Observe(took.Seconds())
	if v == nil {
		return
	}
	m.messages.WithLabelValues(route, v.Rule, string(v.Action), string(v.Reason)).Inc()
	m.visible.WithLabelValues(route).Observe(float64(v.Exposure.Visible))
	concealed := v.Concealed
	if v.Refused() {
		m.blocked.WithLabelValues(route, v.Rule, string(v.Reason)).Inc()
		concealed = v.Exposure.Visible + v.Exposure.Body
	}
	m.concealed.WithLabelValues(route, v.Rule).Add(float64(concealed))
}

// sessionBegan counts a client that was let in, sessionEnded that it has gone.
func (m *Metrics) sessionBegan(route string) {
	m.sessions.WithLabelValues(route).Inc()
	m.open.WithLabelValues(route).Inc()
}

func (m *Metrics) sessionEnded(route string) { m.open.WithLabelValues(route).Dec() }

// copied counts what became of a copy.
func (m *Metrics) copied(route, result string) { m.copies.WithLabelValues(route, result).Inc() }

// Build is what the program was built from.
type Build struct{ Version, Revision, GoVersion string }

func (b Build) register(reg prometheus.Registerer) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "sendguard", Name: "build_info", Help: "What this sendguard was built from; always 1."},
		[]string{"version", "revision", "goversion"})
	reg.MustRegister(g)
	g.WithLabelValues(b.Version, b.Revision, b.GoVersion).Set(1)
}

// Counted lists the counters of sendguard that are not zero, as a scrape shows
// them, in the order of their names.
func (m *Metrics) Counted() ([]string, error) {
	families, err := m.registry.Gather()
	var lines []string
	for _, f := range families {
		if f.GetType() != dto.MetricType_COUNTER || !strings.HasPrefix(f.GetName(), "sendguard_") {
			continue
		}
		for _, c := range f.GetMetric() {
			if c.GetCounter().GetValue() == 0 {
				continue
			}
			var labels []string
			for _, l := range c.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			lines = append(lines, fmt.Sprintf("%s{%s} %g", f.GetName(), strings.Join(labels, ","), c.GetCounter().GetValue()))
		}
	}
	return lines, err
}
