package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"sendguard/cmd/sendguard/setup"
	"sendguard/proxy/oauth2"
)

// wayTexts say who logs in; %s is what the provider takes for a password.
var wayTexts = map[string]string{
	setup.Relay:  "your mail program, with %s",
	setup.Login:  "sendguard, with %s, which it keeps in a file",
	setup.OAuth2: "sendguard, with OAuth2; you register an application at the provider first%.0s",
}

// askLogin asks who logs in, and for what that takes.
func (s *setupRun) askLogin(ctx context.Context) (err error) {
	var choices []setup.Choice
	for _, way := range s.preset.Ways {
		choices = append(choices, setup.Choice{Value: way, Text: fmt.Sprintf(wayTexts[way], s.preset.Password)})
	}
	q := setup.Question{Flag: "auth", Text: "Who logs in at the server?", Choices: choices, Suggest: s.preset.Ways[0]}
	if s.draft.Way = s.preset.Ways[0]; len(choices) > 1 || s.Given("auth") {
		if s.draft.Way, err = s.Ask(ctx, q); err != nil {
			return err
		}
	}
	switch s.draft.Way {
	case setup.Login:
		return s.askPasswordLogin(ctx)
	case setup.OAuth2:
		return s.askOAuth2(ctx)
	}
	return nil
}

// askPasswordLogin asks for a login until the server takes it.
func (s *setupRun) askPasswordLogin(ctx context.Context) error {
	ask := func(ctx context.Context) (err error) {
		s.draft.Username, err = s.Ask(ctx, setup.Question{Flag: "username", Text: "User name at the server", Suggest: s.account})
		if err != nil {
			return err
		}
		if s.draft.PasswordCommand = s.Use("password-command"); s.draft.PasswordCommand == "" {
			s.draft.PasswordFile, err = s.askSecret(ctx, "password-file", "smtp-password", "Password")
		}
		return err
	}
	if err := ask(ctx); err != nil {
		return err
	}
	return s.untilItWorks(ctx, func(ctx context.Context) error {
		for _, flag := range []string{"username", "password-file", "password-command"} {
			delete(s.Flags, flag)
		}
		return ask(ctx)
	})
}

// askOAuth2 asks for what was registered at the provider.
func (s *setupRun) askOAuth2(ctx context.Context) (err error) {
	s.draft.Username, s.draft.Provider, s.draft.Tenant = s.account, s.preset.Provider, s.preset.Tenant
	provider, _ := oauth2.ProviderNamed(s.draft.Provider)
	if s.Terminal != nil && !s.Given("client-id") {
		s.Say("\n%s takes tokens (OAuth2) that are given to an application, which you register once:\n%s\nMore in deploy/docs/accounts/%s.md. Where you cannot register one, Thunderbird can log in by itself: deploy/docs/accounts/thunderbird.md.", s.preset.Title, s.preset.Register, s.preset.Name)
	}
	if s.draft.ClientID, err = s.Ask(ctx, setup.Question{Flag: "client-id", Text: "Client ID of the application"}); err != nil {
		return err
	}
	if provider.Secret {
		if s.draft.ClientSecretFile, err = s.askSecret(ctx, "client-secret-file", "client-secret", "Its client secret"); err != nil {
			return err
		}
	}
	if provider.Tenant != "" && s.draft.Tenant == "" {
		if s.draft.Tenant, err = s.Ask(ctx, setup.Question{Flag: "tenant", Text: "Id or domain of the organisation (tenant)", Suggest: s.domain}); err != nil {
			return err
		}
	}
	return s.askSignIn(ctx, provider)
}

func (s *setupRun) askSignIn(ctx context.Context, p oauth2.Provider) (err error) {
	choices := []setup.Choice{{Value: "browser", Text: "with the browser of this machine"}, {Value: "paste", Text: "with a browser elsewhere: an address is shown, another pasted back"}}
	if p.DeviceURL != "" {
		choices = append(choices, setup.Choice{Value: "device", Text: "on another device, with a code; many organisations forbid that"})
	}
	choices = append(choices, setup.Choice{Value: "later", Text: "later, by sendguard login"})
	suggest := "browser"
	if s.Terminal == nil {
		suggest = "later"
	}
	s.signIn, err = s.Ask(ctx, setup.Question{Flag: "sign-in", Text: "How do you sign in, when the configuration is written?", Choices: choices, Suggest: suggest})
	return err
}

// askSecret returns the path of a file with a secret: one that is there, or one of a
// name that is to be made beside the configuration, with what is typed or comes from
// standard input.
func (s *setupRun) askSecret(ctx context.Context, flag, name, text string) (path string, err error) {
	file := s.Use(flag)
	switch {
	case file != "" && file != "-":
		return filepath.Abs(file)
	case file == "-" && s.Terminal == nil:
		s.secrets[name], err = s.standardInput()
	default:
		s.secrets[name], err = s.Ask(ctx, setup.Question{Flag: flag, Text: text + " (you will not see it)", Secret: true})
	}
	return name, err
}

// standardInput is what is read where - is given for the file of a secret.
func (s *setupRun) standardInput() (string, error) {
	secret, err := askPassword(s.cmd.InOrStdin(), io.Discard)
	if err == nil && secret == "" {
		err = errors.New("standard input is empty")
	}
	return secret, err
}
