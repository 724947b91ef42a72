package policy

import "bytes"

// A fieldKind is what a field means to the policy.
type fieldKind uint8

// fieldNames holds the name of each kind as people write it.
var fieldNames = [kindCount]string{
	kindFrom:                    "From",
	kindSender:                  "Sender",
	kindReplyTo:                 "Reply-To",
	kindTo:                      "To",
	kindCc:                      "Cc",
	kindResentTo:                "Resent-To",
	kindResentCc:                "Resent-Cc",
	kindApparentlyTo:            "Apparently-To",
	kindMailFollowupTo:          "Mail-Followup-To",
	kindMailReplyTo:             "Mail-Reply-To",
	kindBcc:                     "Bcc",
	kindResentBcc:               "Resent-Bcc",
	kindSubject:                 "Subject",
	kindDKIMSignature:           "DKIM-Signature",
	kindInReplyTo:               "In-Reply-To",
	kindReferences:              "References",
	kindContentType:             "Content-Type",
	kindContentTransferEncoding: "Content-Transfer-Encoding",
	kindContentDisposition:      "Content-Disposition",
	kindContentID:               "Content-ID",
	kindMessageID:               "Message-ID",
	kindDate:                    "Date",
}

// kindsByLength are the kinds by how long their names are.
var kindsByLength = func() (by [32][]fieldKind) {
	for kind := kindFrom; kind < kindCount; kind++ {
		n := len(fieldNames[kind])
		by[n] = append(by[n], kind)
	}
	return by
}()

// kindOf finds the kind of a field name, in any letter case.
func kindOf(name []byte) fieldKind {
	if len(name) < len(kindsByLength) {
		for _, kind := range kindsByLength[len(name)] {
			if bytes.EqualFold(name, []byte(fieldNames[kind])) {
				return kind
			}
		}
	}
	return kindOther
}

// showsAddresses lists the fields whose addresses count. From, Sender and
// Reply-To do only when they hold several: one is the sender's own.
var showsAddresses = [kindCount]bool{
	kindFrom:           true,
	kindSender:         true,
	kindReplyTo:        true,
	kindTo:             true,
	kindCc:             true,
	kindResentTo:       true,
	kindResentCc:       true,
	kindApparentlyTo:   true,
	kindMailFollowupTo: true,
	kindMailReplyTo:    true,
	kindBcc:            true,
	kindResentBcc:      true,
}

const (
	kindOther fieldKind = iota
	kindFrom
	kindSender
	kindReplyTo
	kindTo
	kindCc
	kindResentTo
	kindResentCc
	kindApparentlyTo
	kindMailFollowupTo
	kindMailReplyTo
	kindBcc
	kindResentBcc
	kindSubject
	kindDKIMSignature
	kindInReplyTo
	kindReferences
	kindContentType
	kindContentTransferEncoding
	kindContentDisposition
	kindContentID
	kindMessageID
	kindDate
	kindCount
)
