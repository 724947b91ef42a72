package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

func certCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert [NAME...]",
		Short: "Make a certificate for mail clients that insist on TLS",
		Long: `Make a certificate for localhost, 127.0.0.1, ::1 and the given names and
addresses, and an authority that signs it, and say how mail clients come to
trust the authority. One that is in the folder already is used again. It can
sign for those names only that it was made for. A certificate that is in the
folder already is renewed: it keeps its names, and the files keep owner and mode.`,
	}
	dir := cmd.Flags().String("dir", ".", "folder for ca.pem, ca-key.pem, cert.pem and key.pem")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		h, err := hostsOf(args)
		if err != nil {
			return err
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return faultError{err}
		}
		return makeCertificate(cmd.OutOrStdout(), abs, h, time.Now())
	}
	return cmd
}

// The files of a certificate and its authority.
type certFiles struct{ ca, caKey, cert, key string }

// makeCertificate writes a certificate for the hosts into the folder, and an
// authority where it has none, and says what it did. One that is renewed keeps
// its names: a mail client that uses one of them would not know it any more.
func makeCertificate(out io.Writer, dir string, h hosts, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return faultError{err}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	f := certFiles{in("ca.pem"), in("ca-key.pem"), in("cert.pem"), in("key.pem")}
	ca, err := readAuthority(f.ca, f.caKey)
	isNew := errors.Is(err, fs.ErrNotExist) && !exists(f.ca) && !exists(f.caKey)
	if isNew {
		ca, err = newAuthority(h, now)
	}
	if err != nil {
		return fmt.Errorf("the authority cannot be used: %w", err)
	}
	before, err := replaceable(f.cert, f.key, ca.cert)
	if err != nil {
		return err
	}
	if before != nil {
		h = h.and(before)
	}
	pair, err := ca.certify(h, now)
	if err != nil {
		return fmt.Errorf("%s is for %s: %w (use another folder, or move ca.pem and ca-key.pem away)", f.ca, permitted(ca.cert), err)
	}
	if isNew {
		err = ca.write(f.ca, f.caKey, 0o600) // the guard has no need of it
	}
	if err := errors.Join(err, pair.write(f.cert, f.key, guardMode(f.key))); err != nil {
		return faultError{err}
	}
	f.tell(out, ca, isNew, before != nil, fmt.Sprintf("a certificate for %s, until %s", h, day(pair.cert)))
	return nil
}

// tell says what became of the files, and how mail clients come to trust them.
func (f certFiles) tell(out io.Writer, ca *keyPair, isNew, renewed bool, what string) {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	if isNew {
		fmt.Fprintf(t, "%s\tmade\tan authority for %s, until %s\n", f.ca, permitted(ca.cert), day(ca.cert))
		fmt.Fprintf(t, "%s\tmade\tits key: keep it to yourself\n", f.caKey)
	} else {
		fmt.Fprintf(t, "%s\tkept\tthe authority for %s, until %s\n", f.ca, permitted(ca.cert), day(ca.cert))
	}
	was := "made"
	if renewed {
		was = "replaced"
	}
	fmt.Fprintf(t, "%s\t%s\t%s\n", f.cert, was, what)
	fmt.Fprintf(t, "%s\t%s\tits key\n", f.key, was)
	t.Flush()
	for _, path := range []string{f.cert, f.key} {
		if note := unreadable(path); note != "" {
			fmt.Fprintln(out, note)
		}
	}
	fmt.Fprintf(out, howToTrust, f.cert, f.key, f.ca)
}

// replaceable returns the certificate that is to be renewed, where there is one.
// One of another authority is not overwritten: somebody has put it there.
func replaceable(certFile, keyFile string, ca *x509.Certificate) (*x509.Certificate, error) {
	text, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) && !exists(keyFile) {
		return nil, nil
	}
	if block, _ := pem.Decode(text); block != nil {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.CheckSignatureFrom(ca) == nil {
			return cert, nil
		}
	}
	return nil, fmt.Errorf("%s or %s is there and not of this authority: use another folder, or move them away", certFile, keyFile)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func day(c *x509.Certificate) string { return c.NotAfter.Format(time.DateOnly) }

// permitted are the hosts that an authority can sign for.
func permitted(ca *x509.Certificate) string {
	h := hosts{names: ca.PermittedDNSDomains}
	for _, n := range ca.PermittedIPRanges {
		h.ips = append(h.ips, n.IP)
	}
	return h.String()
}

// howToTrust takes the paths of the certificate, its key and the authority.
const howToTrust = `
For a route in the configuration of sendguard (it sees by itself when the files change):

    tls: {cert: %q, key: %q, mode: starttls}

For the mail client, once:

  Thunderbird     Settings, Privacy & Security, Certificates, Manage Certificates, Authorities, Import
                  %[3]q, and tick that it identifies websites
  macOS, Mail     security add-trusted-cert -r trustRoot -p ssl -k ~/Library/Keychains/login.keychain-db %[3]q
  Debian, Ubuntu  sudo cp %[3]q /usr/local/share/ca-certificates/sendguard.crt && sudo update-ca-certificates
  msmtp           tls_trust_file %[3]q
  curl            --cacert %[3]q
  Python          smtp.starttls(context=ssl.create_default_context(cafile=%[3]q))

Before the certificate ends, run this again: the authority stays, and nothing need be trusted anew.
`
