package unfinished

import (
	"net/url"
	"strings"
	"testing"
)

func TestAStateIsCheckedWithoutOpeningIt(t *testing.T) {
	for _, state := range []string{
		"memory", "bolt:/no/such/folder/sends", "bolt:C:sends",
		"redis://192.0.2.1/0", "redis://192.0.2.1:6380/15", "rediss://redis.example/0", "redis://[2001:db8::1]/0",
		"redis://user:password@192.0.2.1/0", "redis://:password@192.0.2.1/0", "redis://user:p%40ss%2Fword@192.0.2.1/0",
	} {
		if err := Check(state); err != nil {
			t.Errorf("%s: %v", state, err)
		}
	}
	for state, want := range map[string]string{
		"":                                "want memory, bolt:PATH or redis://",
		"memory:":                         "want memory",
		"Memory":                          "want memory",
		"file:/var/lib/sends":             "want memory",
		"bolt":                            "no file named",
		"bolt:":                           "no file named",
		"redis":                           "want redis://HOST/DB",
		"redis:":                          "want redis://HOST/DB",
		"redis:///0":                      "want redis://HOST/DB",
		"redis://:6379/0":                 "want redis://HOST/DB",
		"redis://h":                       "number of a database",
		"redis://h/":                      "number of a database",
		"redis://h/one":                   "number of a database",
		"redis://h/-1":                    "number of a database",
		"redis://h/0/1":                   "number of a database",
		"redis://h:0/0":                   "the port",
		"redis://h:70000/0":               "the port",
		"redis://h:port/0":                "not an address",
		"redis://h/0?db=1":                "nothing else",
		"redis://h/0#1":                   "nothing else",
		"redis://user@h/0":                "without a password",
		"redis://user:very secret@h/0":    "not an address",
		"redis://user:very%secret@h/0":    "not an address",
		"redis://user:verysecret/x@h/0":   "not an address",
		"redis://user:verysecret@h/0?tls": "nothing else",
	} {
		err := Check(state)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", state, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error repeats the password: %v", state, err)
		}
	}
}

// Whatever is written there: no panic, no password in an error, and what is
// well formed names what was written.
func FuzzState(f *testing.F) {
	f.Add("redis", "user", "password", "host:6379", "/0")
	f.Add("rediss", "", "p@ss/word", "[::1]", "/15")
	f.Add("bolt", "", "", "", "sends")
	f.Fuzz(func(t *testing.T, scheme, user, password, host, rest string) {
		const mark = "Tr0ub4dor"
		userinfo := url.UserPassword(user, password+mark)
		for _, state := range []string{
			scheme + ":" + rest,
			scheme + "://" + userinfo.String() + "@" + host + rest,
			scheme + "://" + user + ":" + password + mark + "@" + host + rest,
		} {
			if err := Check(state); err != nil && strings.Contains(err.Error(), mark) {
				t.Errorf("%q: the error repeats the password: %v", state, err)
			}
		}
		if !strings.HasPrefix(rest, "/") {
			return // it is a part of the host
		}
		options, err := redisOptions("redis://" + userinfo.String() + "@redis.example" + rest)
		if err == nil && (options.Username != user || options.Password != password+mark || !strings.HasPrefix(options.Addr, "redis.example:")) {
			t.Errorf("%q %q %q: got %q %q %q", user, password, rest, options.Username, options.Password, options.Addr)
		}
	})
}
