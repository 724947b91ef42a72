package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/net/idna"

	"sendguard/cmd/sendguard/config"
	"sendguard/cmd/sendguard/setup"
	"sendguard/proxy/upstream"
)

// resolver is asked for the server of an unknown domain.
var resolver = net.DefaultResolver

func (s *setupRun) askAccount(ctx context.Context) (err error) {
	s.account, err = s.Ask(ctx, setup.Question{Flag: "account", Text: "E-mail address of the account", Check: func(address string) error {
		_, err := domainOf(address)
		return err
	}})
	if err != nil {
		return err
	}
	s.domain, err = domainOf(s.account)
	return err
}

// domainOf is the domain of an address as the DNS has it, in lower case.
func domainOf(address string) (string, error) {
	a, err := mail.ParseAddress(address)
	if err != nil || a.Address != address {
		return "", fmt.Errorf("%q is not an address like you@example.com", address)
	}
	domain, err := idna.Lookup.ToASCII(address[strings.LastIndexByte(address, '@')+1:])
	if err != nil {
		return "", fmt.Errorf("%q has no domain", address)
	}
	return strings.ToLower(domain), nil
}

// askServer finds the server, and goes on until it answers.
func (s *setupRun) askServer(ctx context.Context) error {
	s.draft.Way = setup.Relay // whoever logs in, it is not done yet
	if err := s.setListeners(); err != nil {
		return err
	}
	if err := s.findServer(ctx); err != nil {
		return err
	}
	return s.untilItWorks(ctx, s.askAddress)
}

// findServer finds out whose server it is, and asks for what that does not tell.
func (s *setupRun) findServer(ctx context.Context) error {
	preset, known := setup.ForDomain(s.domain)
	switch {
	case s.Given("provider"):
	case s.Given("server"):
		return s.askOwnAddress(ctx)
	case known:
		s.Say("\n%s is %s.", s.domain, preset.Title)
		s.preset = preset
		return s.presetServer(ctx)
	default:
		if found, err := s.lookUp(ctx); found || err != nil {
			return err
		}
	}
	var choices []setup.Choice
	for _, p := range setup.Presets {
		choices = append(choices, setup.Choice{Value: p.Name, Text: p.Title})
	}
	name, err := s.Ask(ctx, setup.Question{Flag: "provider", Text: "Whose server takes the mail that " + s.domain + " sends?", Choices: choices})
	if err != nil {
		return err
	}
	s.preset, _ = setup.Named(name)
	return s.presetServer(ctx)
}

// lookUp asks the DNS for the server, and has a person say whether to trust the answer.
func (s *setupRun) lookUp(ctx context.Context) (found bool, err error) {
	fmt.Fprintf(s.Out, "\nLooking up the outgoing server of %s ...\n", s.domain)
	service, err := setup.Lookup(ctx, resolver, s.domain)
	if err != nil {
		s.Say("Its DNS names none: %v.", err)
		return false, nil
	}
	s.Say("Its DNS names %s. Anybody between you and the DNS can have given this answer: take it only if that is the server that your provider names.", service.Address)
	s.draft.Address, s.draft.TLS = service.Address, service.TLS
	return true, s.askOwnAddress(ctx)
}

// askOwnAddress asks for a server that may be one of a preset's all the same.
func (s *setupRun) askOwnAddress(ctx context.Context) error {
	if err := s.askAddress(ctx); err != nil {
		return err
	}
	preset, known := setup.ForServer(s.draft.Address)
	if !known {
		preset, _ = setup.Named(setup.Own)
	}
	s.preset = preset
	return nil
}

// presetServer is the server of the preset, asked for where it is another one for
// everybody.
func (s *setupRun) presetServer(ctx context.Context) error {
	s.draft.Address = s.preset.Address
	if s.preset.Varies || s.draft.Address == "" || s.Given("server") {
		if err := s.askAddress(ctx); err != nil {
			return err
		}
	} else {
		s.setTLS()
	}
	if s.preset.CAFile && !s.Given("ca-file") {
		return s.askCAFile(ctx)
	}
	return nil
}

// askAddress asks for the server, and suggests the one that is known.
func (s *setupRun) askAddress(ctx context.Context) error {
	answer, err := s.Ask(ctx, setup.Question{
		Flag: "server", Text: "Outgoing server (host:port)", Suggest: s.draft.Address, Person: true,
		Check: func(answer string) error {
			host, port, err := net.SplitHostPort(withPort(answer))
			if err != nil || host == "" || port == "" || strings.ContainsAny(answer, " /@") {
				return fmt.Errorf("%q is not like smtp.example.com:587", answer)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if address := withPort(answer); address != s.draft.Address {
		s.draft.Address, s.draft.TLS = address, ""
	}
	s.setTLS()
	return nil
}

// withPort adds the port for submission (RFC 6409) where none is named.
func withPort(server string) string {
	if strings.Contains(server, ":") {
		return server
	}
	return server + ":587"
}

// setTLS takes the flag, or what the port is for.
func (s *setupRun) setTLS() {
	if port := s.draft.Address[strings.LastIndexByte(s.draft.Address, ':')+1:]; s.draft.TLS == "" && (port == "465" || port == "2465") {
		s.draft.TLS = "implicit"
	}
	s.draft.TLS = cmp.Or(s.Use("tls"), s.draft.TLS)
	if s.draft.TLS == "starttls" { // the default
		s.draft.TLS = ""
	}
	if path := s.Use("ca-file"); path != "" {
		s.setCAFile(path)
	}
}

func (s *setupRun) askCAFile(ctx context.Context) error {
	path, err := s.Ask(ctx, setup.Question{Flag: "ca-file", Text: "File with the issuer's certificate (PEM)", Check: func(path string) error {
		pem, err := os.ReadFile(path)
		if err == nil && !x509.NewCertPool().AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no PEM certificate", path)
		}
		return err
	}})
	if err == nil {
		s.setCAFile(path)
	}
	return err
}

func (s *setupRun) setCAFile(path string) {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	s.draft.CAFile = path
}

// connect tries the way to the server as it is known by now, with the login where the
// password is there. It says what came of it.
func (s *setupRun) connect(ctx context.Context) error {
	c, err := s.candidate()
	if err != nil {
		return err
	}
	routes, err := c.ProxyRoutes(ctx)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), s.stage, filepath.Dir(s.path)))
	}
	fmt.Fprintf(s.Out, "\nTrying %s ...\n", s.draft.Address)
	limits := c.ProxyLimits()
	offers, err := upstream.Probe(ctx, routes[0].Upstream, limits.Timeouts())
	switch {
	case ctx.Err() != nil:
		return setup.ErrStopped
	case err != nil:
		return faultError{fmt.Errorf("%s: %w", s.draft.Address, err)}
	}
	secured, offers, _ := strings.Cut(offers, "; offers ")
	s.Say("It answers: %s.", secured)
	if !strings.Contains(offers, "AUTH ") {
		s.Say("It offers no login: it takes mail by where it comes from.")
	}
	return nil
}

// untilItWorks tries the connection, and where it fails has a person change something
// by again, or by what the failure suggests.
func (s *setupRun) untilItWorks(ctx context.Context, again func(context.Context) error) error {
	for {
		failed := s.connect(ctx)
		fault := faultError{}
		if !errors.As(failed, &fault) {
			return failed
		}
		remedy := setup.Remedy(failed.Error())
		if s.Terminal == nil {
			return faultError{errors.New(strings.TrimSpace(failed.Error() + "\n" + remedy))}
		}
		s.Say("No: %v", failed)
		if remedy != "" {
			s.Say("%s", remedy)
		}
		if err := s.mend(ctx, failed.Error(), again); err != nil {
			return err
		}
	}
}

// mend changes something about a connection that failed.
func (s *setupRun) mend(ctx context.Context, said string, again func(context.Context) error) error {
	delete(s.Flags, "server")
	host, _, _ := net.SplitHostPort(s.draft.Address)
	choices := []setup.Choice{{Value: "again", Text: "try again as it is"}, {Value: "change", Text: "enter it anew"}}
	if strings.Contains(said, "its certificate is not trusted") {
		choices = append(choices, setup.Choice{Value: "issuer", Text: "name the certificate of its issuer (PEM), whom you trust"})
	}
	if strings.Contains(said, "does not offer STARTTLS") && config.IsLoopback(host) {
		choices = append(choices, setup.Choice{Value: "plain", Text: "go without TLS: the server is on this machine"})
	}
	what, err := s.Ask(ctx, setup.Question{Text: "What now?", Choices: choices, Suggest: "again", Person: true})
	if err != nil {
		return err
	}
	switch what {
	case "change":
		return again(ctx)
	case "issuer":
		delete(s.Flags, "ca-file")
		return s.askCAFile(ctx)
	case "plain":
		s.draft.TLS = "none"
	}
	return nil
}
