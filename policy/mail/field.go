package mail

import "bytes"

// A Kind is what a field means.
type Kind uint8

// FieldNames holds the name of each kind as people write it.
var FieldNames = [Kinds]string{
	From:                    "From",
	Sender:                  "Sender",
	ReplyTo:                 "Reply-To",
	To:                      "To",
	Cc:                      "Cc",
	ResentTo:                "Resent-To",
	ResentCc:                "Resent-Cc",
	ApparentlyTo:            "Apparently-To",
	MailFollowupTo:          "Mail-Followup-To",
	MailReplyTo:             "Mail-Reply-To",
	Bcc:                     "Bcc",
	ResentBcc:               "Resent-Bcc",
	ApplicationBcc:          "X-Bcc",
	NotesTo:                 "X-Notes-Item",
	Subject:                 "Subject",
	DKIMSignature:           "DKIM-Signature",
	InReplyTo:               "In-Reply-To",
	References:              "References",
	ContentType:             "Content-Type",
	ContentTransferEncoding: "Content-Transfer-Encoding",
	ContentDisposition:      "Content-Disposition",
	ContentID:               "Content-ID",
	MessageID:               "Message-ID",
	Date:                    "Date",
}

// kindsByLength are the kinds by how long their names are.
var kindsByLength = func() (by [32][]Kind) {
	for kind := From; kind < Kinds; kind++ {
		n := len(FieldNames[kind])
		by[n] = append(by[n], kind)
	}
	return by
}()

// KindOf finds the kind of a field name, in any letter case. That of what an
// application made of another field also depends on its value.
func KindOf(name []byte) Kind {
	if len(name) < len(kindsByLength) {
		for _, kind := range kindsByLength[len(name)] {
			if bytes.EqualFold(name, []byte(FieldNames[kind])) {
				return kind
			}
		}
	}
	return Other
}

// HoldsAddresses lists the fields whose addresses count. From, Sender and
// Reply-To do only when they hold several: one is the sender's own.
var HoldsAddresses = [Kinds]bool{
	From:           true,
	Sender:         true,
	ReplyTo:        true,
	To:             true,
	Cc:             true,
	ResentTo:       true,
	ResentCc:       true,
	ApparentlyTo:   true,
	MailFollowupTo: true,
	MailReplyTo:    true,
	Bcc:            true,
	ResentBcc:      true,
	ApplicationBcc: true,
	NotesTo:        true,
}

// IsBcc lists the fields that no recipient is to see.
var IsBcc = [Kinds]bool{Bcc: true, ResentBcc: true, ApplicationBcc: true}

const (
	Other Kind = iota
	From
	Sender
	ReplyTo
	To
	Cc
	ResentTo
	ResentCc
	ApparentlyTo
	MailFollowupTo
	MailReplyTo
	Bcc
	ResentBcc
	ApplicationBcc // X-Odoo-Bcc and the like, and Domino's items of that kind
	NotesTo        // Domino's items that repeat To and Cc
	Subject
	DKIMSignature
	InReplyTo
	References
	ContentType
	ContentTransferEncoding
	ContentDisposition
	ContentID
	MessageID
	Date
	Kinds
)
