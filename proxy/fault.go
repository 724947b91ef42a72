package proxy

import "sendguard/proxy/upstream"

// A fault is what went wrong in a session, as the metrics name it.
type fault string

const (
	faultConnect           fault = fault(upstream.KindConnect)
	faultTLS               fault = fault(upstream.KindTLS)
	faultProtocol          fault = fault(upstream.KindProtocol)
	faultLoop              fault = fault(upstream.KindLoop)
	faultLogin             fault = fault(upstream.KindLogin) // sendguard's own
	faultToken             fault = fault(upstream.KindToken) // there is none
	faultClientLogin       fault = "client_login"            // one that sendguard checks
	faultUpstreamTimeout   fault = fault(upstream.KindTimeout)
	faultUpstreamClosed    fault = fault(upstream.KindClosed)
	faultClientGone        fault = "client_gone"
	faultClientTimeout     fault = "client_timeout"
	faultLineEnds          fault = "line_ends" // of a message, so that it has no end
	faultLineTooLong       fault = "line_too_long"
	faultHeaderTooLarge    fault = "header_too_large"
	faultHeaderLineTooLong fault = "header_line_too_long"
	faultMessageTooLarge   fault = "message_too_large"
	faultBuffersFull       fault = "buffers_full"
	faultTooManyConns      fault = "too_many_connections"
	faultTooManyErrors     fault = "too_many_errors"
	faultOutOfStep         fault = "out_of_step"
	faultHTTP              fault = "http"
	faultTLSOnPlaintext    fault = "tls_on_plaintext"
	faultBdat              fault = "bdat"
	faultClientTLS         fault = "client_tls"
	faultInjection         fault = "starttls_injection"
	faultNotAllowed        fault = "not_allowed"
	faultProxyHeader       fault = "proxy_header"
	faultPanic             fault = "panic"
	faultState             fault = "state" // of unfinished sends
	faultSpool             fault = "spool"
	faultDescriptors       fault = fault(upstream.KindDescriptors) // none is left
)

var faults = []fault{
	faultConnect, faultTLS, faultProtocol, faultLoop, faultLogin, faultToken, faultClientLogin, faultUpstreamTimeout, faultUpstreamClosed,
	faultClientGone, faultClientTimeout, faultLineEnds, faultLineTooLong, faultHeaderTooLarge, faultHeaderLineTooLong,
	faultMessageTooLarge, faultBuffersFull, faultTooManyConns, faultTooManyErrors, faultOutOfStep,
	faultHTTP, faultTLSOnPlaintext, faultBdat, faultClientTLS, faultInjection,
	faultNotAllowed, faultProxyHeader, faultPanic, faultState, faultSpool, faultDescriptors,
}

// faultWords say in the log what happened, and what to do where something can be
// done about it. They name no keys of sessions, which stand beside them.
var faultWords = map[fault]string{
	faultConnect:           "no connection to the upstream; see detail, and try: sendguard config --connect",
	faultTLS:               "no TLS with the upstream; see detail, and try: sendguard config --connect",
	faultProtocol:          "the upstream does not speak SMTP as it should; is upstream.address a submission server, and upstream.tls right?",
	faultLoop:              "upstream.address leads back to sendguard; it must be the mail server",
	faultLogin:             "sendguard cannot log in at the upstream; see detail, and try: sendguard config --connect",
	faultToken:             "there is no OAuth2 token for the upstream; see detail, and try: sendguard login",
	faultClientLogin:       "a client gave a user name or a password that the users file does not have",
	faultUpstreamTimeout:   "the upstream did not answer in time; server.upstream_reply and server.stall bound the wait",
	faultUpstreamClosed:    "the upstream closed the connection; the client was told to try again",
	faultClientGone:        "the client was gone before its message was complete; nothing of it was sent",
	faultClientTimeout:     "the client said nothing for too long; server.idle and server.stall bound the wait",
	faultLineEnds:          "the lines of a message ended in bare CR or LF, so that it had no end; the client must end them in CR LF",
	faultLineTooLong:       "a command line was longer than server.max_line_bytes",
	faultHeaderTooLarge:    "the header of a message was larger than server.max_header_bytes",
	faultHeaderLineTooLong: "a header line was longer than server.max_line_bytes",
	faultMessageTooLarge:   "a message was larger than server.message_bytes",
	faultBuffersFull:       "server.buffer_bytes are in use; raise them, or send less at one time",
	faultTooManyConns:      "too many connections; server.connections and server.connections_per_client bound them",
	faultTooManyErrors:     "a client sent too many commands that are none; is it a mail client?",
	faultOutOfStep:         "a client sent a message without leave to; it was not run as commands",
	faultHTTP:              "a browser or another HTTP client came to this port; it was turned away",
	faultTLSOnPlaintext:    "a client began with TLS where none is spoken; set its connection security to none, or the route's tls",
	faultBdat:              "a client sent BDAT, which is not offered",
	faultClientTLS:         "no TLS with a client; see detail",
	faultInjection:         "something came behind STARTTLS in the clear, and was not run",
	faultNotAllowed:        "a client from outside of the route's allow was turned away",
	faultProxyHeader:       "a connection without a good PROXY header was turned away; does the balancer send one?",
	faultPanic:             "an internal error; please report it with the stack below",
	faultState:             "who has a copy of a message cannot be noted in policy.individual.state; nothing more was sent",
	faultDescriptors:       "no file descriptor is left; raise the limit (ulimit -n, LimitNOFILE=), or lower server.connections",
	faultSpool:             "a message cannot be held in server.spool_dir; is its disk full?",
}
