package oauth2

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/oauth2"
)

// LogInByDevice has a person sign in on any device, with a code that is shown here
// (RFC 8628).
func (c *Client) LogInByDevice(ctx context.Context, out io.Writer) (*Grant, error) {
	config, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	shown, err := config.DeviceAuth(c.with(ctx)) // it does not look at ctx; the client's time-out ends it
	if err != nil {
		return nil, c.fault(err)
	}
	if shown.DeviceCode == "" || shown.UserCode == "" || shown.VerificationURI == "" {
		return nil, &Fault{Kind: Failed, text: "the provider's answer makes no sense"}
	}
	fmt.Fprintf(out, "Open %s on any device, and enter the code %s there.\n", printable(shown.VerificationURI), printable(shown.UserCode))
	ctx, cancel := context.WithTimeout(ctx, 3*signInTime) // it may end earlier, when the code does
	defer cancel()
	token, err := config.DeviceAccessToken(c.with(ctx), shown)
	if err != nil && errors.Is(err, context.DeadlineExceeded) && !isTimeout(err) {
		return nil, errNobody
	}
	return c.granted(token, err)
}

// isTimeout reports whether it was a call that took too long, not the person.
func isTimeout(err error) bool {
	return !errors.As(err, new(*oauth2.RetrieveError)) && err != context.DeadlineExceeded
}
