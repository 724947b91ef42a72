package main

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestCheckCountsWhatBodiesShow(t *testing.T) {
	config := writeConfig(t, minimal+"policy: {inspect: {body: true}, limits: {body: 2}}\n")
	list := base64.StdEncoding.EncodeToString([]byte("a@x.example\na@y.example\nb@x.example\nc@x.example\nME@home.example\n"))
	attached := "From: me@home.example\nTo: a@x.example\nSubject: secret\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: image/png\n\n" +
		strings.Repeat("picture\n", 100_000) + "--b\nContent-Type: text/csv\nContent-Transfer-Encoding: base64\n\n" + list + "\n--b--\n"
	tagged := strings.Replace(attached, "secret", "[show 3]", 1)
	fine := strings.Replace(attached, "multipart/mixed", "image/png", 1)
	returned := "Return-Path: <a@y.example>\n" + attached
	dir := folder(t, "a.eml", attached, "b.eml", tagged, "c.eml", fine, "d.eml", returned, "e", mboxLine+attached+"\n"+mboxLine+mailTo(12))
	status, out, _ := command(t, "check", "--config", config, "--format", "json", dir)
	want := []string{
		`"verdict":"reject","rule":"policy","reason":"too_many_in_body","visible":1,"external":1,"internal":0,"organisations":1,"fields":{"Body":3,"To":1}`,
		`"verdict":"override","rule":"policy","reason":"too_many_in_body"`,
		`"verdict":"allow","rule":"policy","reason":"none","visible":1,"external":1,"internal":0,"organisations":1,"fields":{"To":1}`,
		`"verdict":"allow","rule":"policy","reason":"none","visible":1,"external":1,"internal":0,"organisations":1,"fields":{"Body":2,"To":1}`,
		`"verdict":"reject","rule":"policy","reason":"too_many_in_body"`,
		`"verdict":"reject","rule":"policy","reason":"too_many_external"`,
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if status != 1 || len(lines) != len(want) {
		t.Fatalf("status %d\n%s", status, out)
	}
	for i, line := range lines {
		if !strings.Contains(line, want[i]) {
			t.Errorf("got  %s\nwant %s", line, want[i])
		}
	}
	_, out, _ = command(t, "check", "--config", config, dir+"/a.eml")
	if !strings.Contains(out, "too_many_in_body") || !strings.Contains(out, "To 1, Body 3") {
		t.Errorf("%s", out)
	}
}
