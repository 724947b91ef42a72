package mail

// Closing returns where the quoted string or comment that starts at i ends,
// its closing character included. Comments nest.
func Closing(v []byte, i int) (int, bool) {
	open, end := v[i], v[i]
	if open == '(' {
		end = ')'
	}
	depth := 1
	for i++; i < len(v); i++ {
		switch c := v[i]; {
		case c == '\\':
			i++
		case c == end:
			if depth--; depth == 0 {
				return i + 1, true
			}
		case c == open:
			depth++
		}
	}
	return 0, false
}

// unescape takes the backslashes of quoted pairs out (RFC 5322 section 3.2.1).
func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+1 < len(text) {
			i++
		}
		out = append(out, text[i])
	}
	return out
}
