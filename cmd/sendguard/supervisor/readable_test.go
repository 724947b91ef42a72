package supervisor

import (
	"fmt"
	"strings"
	"testing"
)

// TestTheAccountOfTheServiceCanReadWhatWasWrittenForIt before it checks that, and
// after it was made.
func TestTheAccountOfTheServiceCanReadWhatWasWrittenForIt(t *testing.T) {
	s := Service{Program: "/usr/bin/sendguard", Config: "/etc/sendguard/config.yaml", System: true, Readable: []string{"/etc/sendguard/config.yaml", "/etc/sendguard/smtp-password"}}
	for _, tc := range []struct {
		m     Manager
		order []string
	}{
		{Systemd{}, []string{"systemd-sysusers", "chgrp sendguard /etc/sendguard/config.yaml", "chmod g+r /etc/sendguard/config.yaml", "chgrp sendguard /etc/sendguard/smtp-password", "setpriv", "restart"}},
		{Systemd{Packaged: true}, []string{"chgrp sendguard /etc/sendguard/config.yaml", "chmod g+r /etc/sendguard/smtp-password", "setpriv", "restart"}},
		{Launchd{}, []string{"chmod +a '_sendguard allow read' /etc/sendguard/config.yaml", "sudo", "bootstrap"}},
		{Windows{}, []string{"sc.exe create", "icacls.exe /etc/sendguard/config.yaml", "icacls.exe /etc/sendguard/smtp-password", "net.exe start"}},
	} {
		plan, err := tc.m.Install(s)
		if err != nil {
			t.Fatal(err)
		}
		steps := fmt.Sprint(plan.Steps)
		at := 0
		for _, step := range tc.order {
			next := strings.Index(steps[at:], step)
			if next < 0 {
				t.Errorf("%T: no %s behind the step before it in %s", tc.m, step, steps)
				break
			}
			at += next
		}
	}
}
