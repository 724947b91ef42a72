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
sign for those names only that it was made for.`,
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

// makeCertificate writes a certificate for the hosts into the folder, and an
// authority where it has none, and says what it did.
func makeCertificate(out io.Writer, dir string, h hosts, now time.Time) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return faultError{err}
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	caFile, caKeyFile, certFile, keyFile := in("ca.pem"), in("ca-key.pem"), in("cert.pem"), in("key.pem")
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)

	ca, err := readAuthority(caFile, caKeyFile)
	isNew := errors.Is(err, fs.ErrNotExist) && !exists(caFile) && !exists(caKeyFile)
	if isNew {
		ca, err = newAuthority(h, now)
	}
	if err != nil {
		return fmt.Errorf("the authority cannot be used: %w", err)
	}
	pair, err := ca.certify(h, now)
	if err != nil {
		return fmt.Errorf("%s is for %s: %w (use another folder, or move ca.pem and ca-key.pem away)", caFile, permitted(ca.cert), err)
	}
	was, err := replaceable(certFile, keyFile, ca.cert)
	if err != nil {
		return err
	}
	if isNew {
		err = ca.write(caFile, caKeyFile)
		fmt.Fprintf(t, "%s\tmade\tan authority for %s, until %s\n", caFile, permitted(ca.cert), day(ca.cert))
		fmt.Fprintf(t, "%s\tmade\tits key: keep it to yourself\n", caKeyFile)
	} else {
		fmt.Fprintf(t, "%s\tkept\tthe authority for %s, until %s\n", caFile, permitted(ca.cert), day(ca.cert))
	}
	if err := errors.Join(err, pair.write(certFile, keyFile)); err != nil {
		return faultError{err}
	}
	fmt.Fprintf(t, "%s\t%s\ta certificate for %s, until %s\n", certFile, was, h, day(pair.cert))
	fmt.Fprintf(t, "%s\t%s\tits key\n", keyFile, was)
	t.Flush()
	fmt.Fprintf(out, howToTrust, certFile, keyFile, caFile)
	return nil
}

// replaceable says what becomes of the files of a certificate. One of another
// authority is not overwritten: somebody has put it there.
func replaceable(certFile, keyFile string, ca *x509.Certificate) (was string, err error) {
	text, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) && !exists(keyFile) {
		return "made", nil
	}
	if block, _ := pem.Decode(text); block != nil {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.CheckSignatureFrom(ca) == nil {
			return "replaced", nil
		}
	}
	return "", fmt.Errorf("%s or %s is there and not of this authority: use another folder, or move them away", certFile, keyFile)
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
