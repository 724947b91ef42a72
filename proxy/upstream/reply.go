package upstream

import (
	"fmt"
	"strings"
)

// A Reply is what the upstream said to one command: all its lines.
type Reply struct {
	Code int
	Raw  []byte // with CRLF after each line
}

// NewReply makes a reply of its lines.
func NewReply(raw []byte) Reply {
	code, _, _ := replyLine(raw)
	return Reply{Code: code, Raw: raw}
}

// Text returns what a reply says, without the code, its lines parted by LF.
func (r Reply) Text() string {
	var lines []string
	for line := range strings.SplitSeq(strings.TrimSuffix(string(r.Raw), "\r\n"), "\r\n") {
		lines = append(lines, line[min(4, len(line)):])
	}
	return strings.Join(lines, "\n")
}

func (r Reply) OK() bool { return r.Code >= 200 && r.Code < 300 }

// replyLine takes the code of a reply line (RFC 5321 section 4.2) and says
// whether more lines follow.
func replyLine(line []byte) (code int, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, false
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, false
		}
		code = code*10 + int(c-'0')
	}
	return code, len(line) > 3 && line[3] == '-', code >= 200 && code < 600
}

// visible keeps control characters out of what a client shows.
func visible(line []byte) []byte {
	for i, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			line[i] = '?'
		}
	}
	return line
}

// Enhanced separates a reply into its codes (RFC 2034 section 4), both of them, and
// its words in printable US-ASCII, at most maxWords. A reply may have none (RFC 5321
// section 4.2); there are always some here.
func (r Reply) Enhanced() (code, text string) {
	code, text = fmt.Sprintf("%d %d.0.0", r.Code, r.Code/100), strings.ReplaceAll(r.Text(), "\n", " ")
	if status, rest, ok := strings.Cut(text, " "); ok && isStatus(status, r.Code) {
		code, text = fmt.Sprintf("%d %s", r.Code, status), strings.ReplaceAll(rest, status+" ", "")
	}
	printable := strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, text)
	if printable = strings.TrimSpace(printable); printable == "" {
		printable = "no reason was given"
	}
	return code, printable[:min(len(printable), maxWords)]
}

// maxWords keeps a reply of our own with the upstream's words within 512 bytes.
const maxWords = 350

// isStatus reports an enhanced status code (RFC 3463 section 2) of the class of
// a reply.
func isStatus(s string, code int) bool {
	var class, subject, detail int
	n, err := fmt.Sscanf(s, "%1d.%3d.%3d", &class, &subject, &detail)
	return err == nil && n == 3 && class == code/100 && s == fmt.Sprintf("%d.%d.%d", class, subject, detail)
}

// capabilities are the keywords of a reply to EHLO, in upper case, with their
// parameters. Its first line has none, and that is all that HELO is told.
func capabilities(r Reply) map[string]string {
	caps := map[string]string{}
	for _, line := range strings.Split(r.Text(), "\n")[1:] {
		keyword, parameters, _ := strings.Cut(strings.ReplaceAll(line, "AUTH=", "AUTH "), " ")
		keyword = strings.ToUpper(keyword)
		caps[keyword] = strings.TrimSpace(caps[keyword] + " " + parameters)
	}
	return caps
}
