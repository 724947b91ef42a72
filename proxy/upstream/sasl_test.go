package upstream

import "testing"

// A name may have what parts the fields of OAUTHBEARER (RFC 5801 section 4).
func TestANameWithACommaIsSpelledForOAUTHBEARER(t *testing.T) {
	_, first, err := newBearer("a,b=c", "token").Start()
	if want := "n,a=a=2Cb=3Dc,\x01auth=Bearer token\x01\x01"; err != nil || string(first) != want {
		t.Errorf("got %q, %v", first, err)
	}
}
