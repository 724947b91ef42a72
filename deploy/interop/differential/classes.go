package main

// headerClasses are the changes of what counts in headers. The order matters where
// several are undone: what is written in another way first.
var headerClasses = []class{
	{name: "charset labels that the library lacks", mend: charsetLabels},
	{name: "characters of East Asia whose bytes have an @", mend: secondBytes},
	{name: "a full-width @", mend: inFields(wideAts)},
	{name: "a dot ends a sentence in an encoded word", mend: inFields(sentencesInWords)},
	{name: "brackets, quote marks and blanks of other scripts", mend: both(foreignMarks)},
	{name: "blanks of no width", mend: both(invisible)},
	{name: "a quoted local part is the same address", mend: both(quotedLocals)},
	{name: "blanks and comments beside the dots of a domain", mend: inFields(spacedDomains)},
	{name: "blanks and comments in a local part", mend: inFields(spacedLocals)},
	{name: "a local part of several words in angle brackets", mend: inFields(angleBlanks)},
	{name: "a stray mark beside an @", mend: inFields(strayMarks)},
	{name: "Bcc fields of applications", mend: applicationFields, wholeHeader: true},
	{name: "invitations by other types and names", mend: invitations, wholeHeader: true},
	{name: "copies of the header in message/news", mend: newsCopies, wholeHeader: true},
	{name: "several transfer encodings", mend: transferEncodings, wholeHeader: true},
	{name: "copies of the header behind 64 KiB", mend: farCopies, wholeHeader: true},
	{name: "bcc leaves nobody in To", mend: nobodyLeft, wholeHeader: true},
	{name: "bcc keeps a Reply-To of one mailbox, less its name", mend: replyNames, wholeHeader: true},
}

// bodyClasses are the further ones of bodies.
var bodyClasses = []class{
	{name: "comments and quoted pairs in a boundary", mend: plainBoundaries},
	{name: "UTF-7 is undone before HTML is read", mend: utf7},
	{name: "ibm037 over plain text", mend: ebcdic},
	{name: "text is what its bytes are", mend: byBytes},
	{name: "an invitation by its bytes", mend: calendars},
	{name: "vCards by their bytes, in quoted-printable", mend: vcards},
	{name: "what is hidden in HTML opens nothing", mend: hiddenHTML},
	{name: "tags that do not part a word", mend: inlineTags},
	{name: "quoted text counts", mend: quotedText},
	{name: "whom the header shows is left out", mend: inSight, sameHeader: true},
	{name: "control characters end a word", mend: inBody(controls)},
	{name: "names of messages: folded, and with other words behind", mend: replace(`(?i)\b(references|in-reply-to|message-id|content-id)[ \t*]*:`, "${1}_:")},
	{name: "mailto:// is no URL", mend: replace(`(?i)(mailto:):*//`, "$1")},
	{name: "www.host/@name, and what ends with / before an @", mend: inBody(urls)},
	{name: "labels of digits, or digits and x", mend: replace(`@(\pN[\pNx]*[.。．｡])`, "@n$1")},
	{name: "git@host:path", mend: replace(`(?i)\b(git@(?:[\w.-]|[^\x00-\x7f])+):`, "$1 :")},
	{name: "@name@host", mend: replace(`(^|[\s<>"(),;:|\[\]\\])@([^\s<>"(),;|\[\]\\@]+@)`, "$1$2")},
	{name: "full-width dots of a domain", mend: replace(`．|｡`, ".")},
	{name: "dots at the end make no dotted domain", mend: replace(`[-_.。]*。[-_.。]*([^\pL\d]|$)`, ".$1")},
	{name: "top-level domains that no registry has", mend: inBody(topLevels)},
	{name: "a domain does not begin with a dot", mend: replace(`@(?:[.-]|。|．|｡)+`, "@")},
	{name: "mail= before an address", mend: replace(`\bmail=`, "")},
	{name: "a quote mark within a word begins no local part", mend: inBody(looseQuotes)},
	{name: "zip, gzip and OLE files are read", mend: inBody(containers)},
}

// both mends the values of fields, and the body.
func both(mend func([]byte) []byte) func(message) message {
	fields, body := inFields(mend), inBody(mend)
	return func(m message) message { return body(fields(m)) }
}
