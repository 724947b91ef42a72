package proxy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"sendguard/policy"
	"sendguard/proxy/wire"
)

func bcc(s *setup) {
	s.settings.Action = policy.Bcc
	s.settings.InternalDomains = []string{"home.example"}
}

func TestBccTakesOutsideAddressesOutAndNothingElse(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, bcc)
	c := g.greeted()
	body := "..dotted\r\nsee p1@there.example\r\n" + strings.Repeat("long\r\n", 50_000)
	m := "..x: y\r\nFrom: Me <me@home.example>\r\nTo: Ann <ann@home.example>, " + addresses(43) + "\r\nSubject:  news \r\n\r\n" + body
	c.message(m, "250 2.0.0 queued")
	want := "..x: y\r\nFrom: Me <me@home.example>\r\nTo: Ann <ann@home.example>\r\nSubject:  news \r\n\r\n" + body
	if _, got, _ := u.got(); !slices.Equal(got, []string{want}) {
		t.Errorf("upstream got %.300q", got)
	}
	if n := g.counter("sendguard_concealed_addresses_total"); n != 43 {
		t.Errorf("concealed %v", n)
	}
	if n := g.counter("sendguard_messages_total", "verdict", "bcc", "reason", "too_many_external"); n != 1 {
		t.Errorf("messages_total is %v", n)
	}
}

func TestAnInvitationIsNeverRewritten(t *testing.T) {
	multipart := strings.Replace(leaking(43), "Subject: news\r\n", "Subject: news\r\nContent-Type: multipart/alternative; boundary=b\r\n", 1)
	invitation := "--b\r\nContent-Type: text/calendar;\r\n method=REQUEST\r\n\r\nATTENDEE:mailto:p1@there.example\r\n--b--\r\n"
	for name, before := range map[string]int{"at the start": 0, "within 64 KiB": 60_000, "at the edge": policy.MaxBody - 100, "far behind": 3_000_000} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t)
			g := newGuard(t, u, bcc)
			c := g.greeted()
			c.message(multipart+"--b\r\n\r\n"+strings.Repeat("x", before)+"\r\n"+invitation,
				"550 5.7.1 Not sent: every recipient would see 43 outside addresses (limit 10), and the message is an invitation, so it cannot be rewritten. Move them to Bcc, or put [show 43]")
			if _, got, _ := u.got(); len(got) > 0 {
				t.Error("it was finished upstream")
			}
			if n := g.counter("sendguard_blocked_sends_total", "reason", "attendees"); n != 1 {
				t.Errorf("blocked_sends_total is %v", n)
			}
		})
	}
}

func TestAMultipartMessageIsRewrittenWhole(t *testing.T) {
	for _, size := range []int{0, 1000, smallPiece, policy.MaxBody, 1_000_000} {
		u := newUpstream(t)
		g := newGuard(t, u, bcc)
		rest := "Subject: news\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat("0123456789abcd\r\n", size/16) + "..\r\n"
		g.greeted().message("From: me@home.example\r\nTo: "+addresses(43)+"\r\n"+rest, "250")
		if _, got, _ := u.got(); !slices.Equal(got, []string{"From: me@home.example\r\nTo: me@home.example\r\n" + rest}) {
			t.Errorf("%d: upstream got %.200q", size, got)
		}
	}
}

func TestCopiesOfTheHeaderInASignedPartAreFound(t *testing.T) {
	signed := func(partHeader, text string) string {
		return "From: me@home.example\r\nTo: me@home.example\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n" +
			partHeader + "\r\n" + text + "\r\n--b--\r\n"
	}
	long := strings.Repeat("0123456789abcd\r\n", 10_000)
	fits := signed("Content-Type: text/plain; hp=\"clear\"\r\n.To: y\r\nTo: "+addresses(10)+"\r\n", "..\r\n"+long)
	fits = strings.Replace(fits, "\r\n.To:", "\r\n..To:", 1) // dot-stuffed
	u := newUpstream(t)
	g := newGuard(t, u)
	c := g.greeted()
	c.message(fits, "250")
	c.message(signed("Content-Type: text/plain; hp=\"clear\"\r\nTo: "+addresses(11)+"\r\n", long), "550 5.7.1 Not sent: every recipient would see 11 addresses (limit 10).")
	c.message(signed("..\r\nTo: "+addresses(11)+"\r\n", "short"), "550 5.7.1")
	c.message(signed(strings.Repeat("X: 0123456789abc\r\n", 5_000)+"To: "+addresses(43)+"\r\n", long), "550 5.6.0 Not sent: the header of this message cannot be read (line 5).")
	c.message(plain, "250")
	if _, got, _ := u.got(); !slices.Equal(got, []string{fits, plain}) {
		t.Errorf("upstream got %.300q", got)
	}
}

func TestAMultipartMessageThatComesLineByLineNeedsLittleMemory(t *testing.T) {
	u := newUpstream(t)
	g := newGuard(t, u, bcc, func(s *setup) { s.limits.BufferBytes = 2_000_000 })
	c := g.greeted()
	c.envelope()
	c.send("From: me@home.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	line := strings.Repeat("x", 68) + "\r\n"
	for range 2 * policy.MaxBody / len(line) {
		c.send(line)
	}
	c.send(".\r\n")
	c.want("550 5.6.0 Not sent: the header of this message cannot be read (line 4).") // there is no first part, but there was room to look
}

func TestADKIMSignatureSurvivesAndStopsARewrite(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(message string) string {
		t.Helper()
		var b bytes.Buffer
		if err := dkim.Sign(&b, strings.NewReader(message), &dkim.SignOptions{Domain: "home.example", Selector: "s", Signer: private,
			HeaderKeys: []string{"From", "To", "Cc", "Bcc", "Subject"}}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	u := newUpstream(t)
	c := newGuard(t, u, bcc).greeted()
	small := strings.Replace(sign("From: me@home.example\r\nTo: a@x.example,\r\n\tb@y.example\r\nBcc: c@z.example\r\nSubject:  odd   blanks\r\n\r\nHello\r\n.\r\n"), "\r\n.\r\n", "\r\n..\r\n", 1)
	c.message(small, "250")
	_, got, _ := u.got()
	verified, err := dkim.VerifyWithOptions(strings.NewReader(strings.Replace(got[0], "\r\n..\r\n", "\r\n.\r\n", 1)), &dkim.VerifyOptions{LookupTXT: func(string) ([]string, error) {
		return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
	}})
	if err != nil || len(verified) != 1 || verified[0].Err != nil {
		t.Errorf("the signature does not verify: %v %+v", err, verified)
	}
	c.message(sign(leaking(43)), "550 5.7.1 Not sent: every recipient would see 43 outside addresses (limit 10), and the message is signed, so it cannot be rewritten.")
}

func TestRulesDecideByTheEnvelopeAndTheRoute(t *testing.T) {
	u := newUpstream(t)
	unlimited := policy.Unlimited
	hint := "Ask the help desk."
	g := newGuard(t, u, func(s *setup) {
		s.settings.Rules = []policy.Rule{
			{Name: "partner", Match: policy.Match{To: []string{"*@partner.example"}, Route: []string{"test"}}, Limits: [policy.CountedKinds]*policy.Limit{policy.External: &unlimited}},
			{Name: "boss", Match: policy.Match{From: []string{"boss@home.example"}}, Action: policy.Report},
			{Name: "strict", Match: policy.Match{Reply: new(bool)}, RejectHint: &hint, Override: new(bool)},
		}
	})
	c := g.greeted()
	send := func(from, to, message, want string) {
		t.Helper()
		c.cmd("MAIL FROM:<"+from+">", "250")
		c.cmd("RCPT TO:<"+to+">", "250")
		c.cmd("DATA", "354")
		c.send(message + ".\r\n")
		c.want(want)
	}
	send("me@home.example", "ann@partner.example", leaking(43), "250")
	send("boss@home.example", "ann@there.example", leaking(43), "250")
	send("me@home.example", "ann@there.example", leaking(43), "550 5.7.1 Not sent: every recipient would see 43 addresses (limit 10). Move them to Bcc. Ask the help desk.")
	send("me@home.example", "ann@there.example", "In-Reply-To: <x>\r\n"+leaking(43), "550 5.7.1 Not sent: every recipient would see 43 addresses (limit 10). Move them to Bcc, or put [show 43] in the subject to send anyway.")
	for _, want := range [][]string{{"rule", "partner", "verdict", "allow"}, {"rule", "boss", "verdict", "report"}, {"rule", "strict", "verdict", "reject"}, {"rule", "policy", "verdict", "reject"}} {
		if n := g.counter("sendguard_messages_total", want...); n != 1 {
			t.Errorf("%v is %v", want, n)
		}
	}
}

func TestEveryRefusalIsOneShortLineOfASCII(t *testing.T) {
	hint := strings.Repeat("h", 200)
	for _, v := range policy.PossibleVerdicts() {
		if !v.Refused() {
			continue
		}
		v.CountOf = policy.Organisations
		v.Count, v.Limit, v.Claimed, v.Override, v.Hint, v.Outside, v.Line = 999_999_999, 999_999_999, 999_999_999, true, hint, true, 999_999_999
		r := policyReply(&v)
		if len(r.Raw) > 512 || bytes.Count(r.Raw, wire.CRLF) != 1 || !bytes.HasSuffix(r.Raw, wire.CRLF) || r.Code != 550 {
			t.Errorf("%d bytes: %q", len(r.Raw), r.Raw)
		}
		for _, b := range bytes.TrimSuffix(r.Raw, wire.CRLF) {
			if b < ' ' || b > '~' {
				t.Errorf("%q", r.Raw)
			}
		}
	}
}
