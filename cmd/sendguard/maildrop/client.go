package maildrop

import (
	"errors"
	"fmt"
	"io"
	"net/smtp"
	"net/textproto"
	"strings"
)

// Send sends a message, its lines ended by LF or CRLF, to the SMTP server at
// addr and returns the reply to its end, or to the command that was refused.
// The error is for what is no reply.
func Send(addr, from string, to []string, message string) (reply string, err error) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return refusal(err)
	}
	defer c.Close()
	if err := c.Mail(from); err != nil {
		return refusal(err)
	}
	for _, rcpt := range to {
		if err := c.Rcpt(rcpt); err != nil {
			return refusal(err)
		}
	}
	id, err := c.Text.Cmd("DATA")
	if err != nil {
		return "", err
	}
	c.Text.StartResponse(id)
	defer c.Text.EndResponse(id)
	if _, _, err := c.Text.ReadResponse(354); err != nil {
		return refusal(err)
	}
	w := c.Text.DotWriter()
	if _, err := io.WriteString(w, message); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	code, text, err := c.Text.ReadResponse(250)
	if err != nil {
		return refusal(err)
	}
	return fmt.Sprintf("%d %s", code, text), c.Text.PrintfLine("QUIT")
}

// refusal turns the error of a refused command into the reply that it is.
func refusal(err error) (string, error) {
	if e := (*textproto.Error)(nil); errors.As(err, &e) {
		return fmt.Sprintf("%d %s", e.Code, strings.ReplaceAll(e.Msg, "\n", " ")), nil
	}
	return "", err
}
