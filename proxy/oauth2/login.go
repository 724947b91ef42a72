package oauth2

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/oauth2"
)

// signInTime bounds the wait for a person.
const signInTime = 5 * time.Minute

// A Grant is what a person gave who signed in.
type Grant struct {
	Access  string // token
	Mailbox string // that was signed in to; "": the provider does not say
	refresh string
}

func (c *Client) granted(token *oauth2.Token, err error) (*Grant, error) {
	if err != nil {
		return nil, c.fault(err)
	}
	if token.RefreshToken == "" {
		return nil, &Fault{Kind: Refused, text: "the provider gave no refresh token: is the client registered as one for a person's machine, and may it work while nobody is there?"}
	}
	return &Grant{token.AccessToken, mailbox(token), token.RefreshToken}, nil
}

// mailbox is what the provider says of who signed in. The token came from the
// provider itself over TLS, so its signature is not looked at (OpenID Connect Core
// section 3.1.3.7).
func mailbox(token *oauth2.Token) string {
	text, _ := token.Extra("id_token").(string)
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(text, claims); err != nil {
		return ""
	}
	for _, name := range []string{"preferred_username", "email", "upn"} {
		if value, ok := claims[name].(string); ok && strings.Contains(value, "@") {
			return printable(value)
		}
	}
	return ""
}

// printable is what may be shown in a terminal of what a provider says.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '?'
		}
		return c
	}, s)
}

// IsOf reports whether a grant is for a mailbox, as far as the provider says.
func (g *Grant) IsOf(mailbox string) bool {
	return g.Mailbox == "" || strings.EqualFold(g.Mailbox, mailbox)
}

// Remember keeps what a person gave.
func (c *Client) Remember(ctx context.Context, g *Grant) error {
	ctx, cancel := context.WithTimeout(ctx, refreshTime+keyringTime)
	defer cancel()
	unlock, err := c.Store.Lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return c.Store.Save(ctx, g.refresh)
}

// Forget removes what is kept, and has the provider end it where it can. found says
// whether there was something.
func (c *Client) Forget(ctx context.Context) (found, revoked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, refreshTime+keyringTime)
	defer cancel()
	unlock, err := c.Store.Lock(ctx)
	if err != nil {
		return false, false, err
	}
	defer unlock()
	kept, err := c.Store.Load(ctx)
	if errors.Is(err, errNoToken) {
		return false, false, nil
	}
	if forgot := c.Store.Forget(ctx); forgot != nil {
		return true, false, forgot
	}
	if err != nil || c.Provider.RevokeURL == "" {
		return true, false, err
	}
	if err := c.revoke(ctx, kept); err != nil {
		return true, false, &Fault{kindOf(err), "it is forgotten here; the provider could not be told: " + err.Error(), err}
	}
	return true, true, nil
}
