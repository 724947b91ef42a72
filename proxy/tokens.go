package proxy

import (
	"context"

	"sendguard/proxy/oauth2"
	"sendguard/proxy/upstream"
)

// keepTokens has every route's token renewed in time, as long as the settings are in
// force.
func (s *Server) keepTokens(set *settings) {
	ctx, cancel := context.WithCancel(s.ctx)
	set.endTokens = cancel
	for _, r := range set.routes {
		s.metrics.zeroTokens(r.config.Name, r.tokens() != nil)
		if r.tokens() != nil {
			s.keepers.Go(func() { r.keepToken(ctx) })
		}
	}
}

func (r *route) tokens() upstream.TokenSource {
	if r.config.Upstream.Login == nil {
		return nil
	}
	return r.config.Upstream.Login.Tokens
}

// keepToken counts how it goes, and logs each reason why there is no token once.
func (r *route) keepToken(ctx context.Context) {
	logged := ""
	r.tokens().Keep(ctx, func(e oauth2.Event) {
		r.server.metrics.token(r.config.Name, e)
		why := ""
		if e.Fault != nil {
			why = e.Fault.Error()
		}
		if why != logged && why != "" {
			r.server.log.Warn("no new OAuth2 token", "route", r.config.Name, "login_required", e.LoginRequired, "detail", why)
		} else if why != logged {
			r.server.log.Info("OAuth2 token renewed", "route", r.config.Name)
		}
		logged = why
	})
}

// zeroTokens creates the series of a route that has tokens, and removes those of one
// that has none any more.
func (m *Metrics) zeroTokens(route string, has bool) {
	m.tokenExpiry.DeleteLabelValues(route)
	m.loginRequired.DeleteLabelValues(route)
	if !has {
		return
	}
	m.loginRequired.WithLabelValues(route)
	for _, result := range oauth2.Results {
		m.refreshes.WithLabelValues(route, result)
	}
}

func (m *Metrics) token(route string, e oauth2.Event) {
	required := 0.0
	if e.LoginRequired {
		required = 1
	}
	m.loginRequired.WithLabelValues(route).Set(required)
	if e.Result != "" {
		m.refreshes.WithLabelValues(route, e.Result).Inc()
	}
	if e.Expiry.IsZero() {
		m.tokenExpiry.DeleteLabelValues(route)
		return
	}
	m.tokenExpiry.WithLabelValues(route).Set(float64(e.Expiry.Unix()))
}
