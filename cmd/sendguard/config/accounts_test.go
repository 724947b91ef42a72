package config

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"sendguard/proxy/oauth2"
)

const accounts = "../../../deploy/docs/accounts/"

// pages are those about accounts, by name.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(accounts + "*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	all := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(path)] = string(text)
	}
	return all
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestEveryConfigurationInThePagesAboutAccountsIsTaken has the files beside it that
// the pages name.
func TestEveryConfigurationInThePagesAboutAccountsIsTaken(t *testing.T) {
	dir := t.TempDir()
	writeAccountFiles(t, dir)
	seen := map[string]map[oauth2.Flow]bool{}
	for name, text := range pages(t) {
		blocks := yamlBlock.FindAllStringSubmatch(text, -1)
		if len(blocks) == 0 && name != "README.md" {
			t.Errorf("%s has no configuration", name)
		}
		for _, block := range blocks {
			path := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(path, []byte(block[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Load(path)
			if err != nil {
				t.Errorf("%s: %v\n%s", name, err, block[1])
				continue
			}
			if _, err := c.ProxyRoutes(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			for _, r := range c.Routes {
				if o := r.Upstream.OAuth2; o.Provider != "" {
					if seen[o.Provider] == nil {
						seen[o.Provider] = map[oauth2.Flow]bool{}
					}
					seen[o.Provider][o.Flow] = true
				}
			}
		}
	}
	for _, p := range oauth2.Providers {
		for _, flow := range p.Flows {
			if !seen[p.Name][flow] && flow != oauth2.Device && p.Name != oauth2.Custom {
				t.Errorf("no page has a configuration for %s with %s", p.Name, flow)
			}
		}
	}
}

// TestEveryConfigurationInTheDocumentationIsTaken: a block may leave the routes out.
func TestEveryConfigurationInTheDocumentationIsTaken(t *testing.T) {
	dir := t.TempDir()
	writeAccountFiles(t, dir)
	files, err := filepath.Glob("../../../deploy/docs/*.md")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	blocks := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllStringSubmatch(string(text), -1) {
			blocks++
			if !strings.HasPrefix(block[1], "routes:") {
				block[1] += "routes: [{listen: '127.0.0.1:1587', upstream: {address: 'smtp.example.com:587'}}]\n"
			}
			path := filepath.Join(dir, "c.yaml")
			if err := os.WriteFile(path, []byte(block[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err != nil {
				t.Errorf("%s: %v\n%s", file, err, block[1])
			}
		}
	}
	if blocks == 0 {
		t.Error("no configuration was found")
	}
}

// TestThePagesAboutAccountsSayWhatTheTableOfProvidersDoes compares scopes, and has
// every page in the list of them.
func TestThePagesAboutAccountsSayWhatTheTableOfProvidersDoes(t *testing.T) {
	all := pages(t)
	of := map[string]string{"microsoft": "microsoft-365.md", "google": "gmail.md", "fastmail": "fastmail.md", oauth2.Custom: "own-server.md"}
	for _, p := range oauth2.Providers {
		text := all[of[p.Name]]
		for _, scope := range append(p.Scopes, p.AppScopes...) {
			if strings.Contains(scope, "://") && !strings.Contains(text, "`"+scope+"`") {
				t.Errorf("%s does not name the scope %s", of[p.Name], scope)
			}
		}
		if p.Name != oauth2.Custom && strings.Contains(text, "http://localhost") != p.Localhost {
			t.Errorf("%s names another redirect address than is used", of[p.Name])
		}
	}
	for name := range all {
		if name != "README.md" && !strings.Contains(all["README.md"], "("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// writeAccountFiles makes what the pages name: secrets, certificates, keys, a folder.
func writeAccountFiles(t *testing.T, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	account, _ := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@x.example", "private_key": string(keyPEM)})
	for name, text := range map[string][]byte{"client-secret": []byte("s\n"), "app-password": []byte("s\n"), "smtp-password": []byte("s\n"),
		"app.pem": certPEM, "app-key.pem": keyPEM, "bridge.pem": certPEM, "cert.pem": certPEM, "key.pem": keyPEM, "service-account.json": account} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "store"), 0o700); err != nil {
		t.Fatal(err)
	}
}
