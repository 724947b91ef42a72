package policy

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"sendguard/policy/mail"
)

// An organisation is who is behind an external address: its registrable domain
// by the public suffix list, or, at a provider of personal mailboxes, the
// address itself.
type organisations struct {
	personal mail.DomainSet
	domains  map[string]struct{} // seen already
	names    map[string]struct{} // of organisations
}

func newOrganisations(personal mail.DomainSet) organisations {
	return organisations{personal, map[string]struct{}{}, map[string]struct{}{}}
}

// isNew reports whether an address at a domain, both new to the message, adds
// an organisation.
func (o *organisations) isNew(domain []byte) bool {
	if isPersonal(o.personal, domain) {
		return true
	}
	if _, ok := o.domains[string(domain)]; ok {
		return false
	}
	name := string(domain)
	o.domains[name] = struct{}{}
	if registrable, err := publicsuffix.EffectiveTLDPlusOne(name); err == nil {
		name = registrable
	}
	if _, ok := o.names[name]; ok {
		return false
	}
	o.names[name] = struct{}{}
	return true
}

// IsPersonal reports whether a domain, in lower case, is that of a provider of
// personal mailboxes: nobody's own.
func IsPersonal(domain string) bool { return isPersonal(nil, []byte(domain)) }

// isPersonal reports a provider of personal mailboxes.
func isPersonal(more mail.DomainSet, domain []byte) bool {
	if _, ok := personalDomains[string(domain)]; ok {
		return true
	}
	if more.Has(domain) {
		return true
	}
	brand, rest, ok := bytes.Cut(domain, []byte("."))
	if !ok || !slices.Contains(personalBrands, string(brand)) {
		return false
	}
	suffix, _ := publicsuffix.PublicSuffix(string(rest))
	return suffix == string(rest) // yahoo.co.uk, not yahoo.example.org
}

// personalBrands have mailboxes under many top-level domains.
var personalBrands = strings.Fields(`aol gmx hotmail live outlook windowslive yahoo yandex ymail`)

// personalDomains are other domains under which anybody can have a mailbox, or
// every customer of an access provider. The list was put together in November
// 2026 from what the providers offer on their own sign-up and help pages;
// personal_domains in the configuration adds to it.
var personalDomains = func() map[string]struct{} {
	set := map[string]struct{}{}
	for domain := range strings.FieldsSeq(`
		gmail.com googlemail.com icloud.com me.com mac.com msn.com rocketmail.com passport.com
		proton.me protonmail.com protonmail.ch pm.me tutanota.com tutanota.de tutamail.com tuta.com tuta.io keemail.me
		fastmail.com fastmail.fm hey.com hushmail.com mail.com email.com usa.com post.com zohomail.com zohomail.eu
		mailbox.org posteo.de posteo.net riseup.net disroot.org runbox.com startmail.com mailfence.com duck.com
		web.de freenet.de t-online.de arcor.de vodafone.de o2online.de online.de mail.de email.de unitybox.de 1und1.de
		aon.at a1.net chello.at liwest.at bluewin.ch hispeed.ch sunrise.ch quickline.ch
		orange.fr wanadoo.fr free.fr laposte.net sfr.fr neuf.fr bbox.fr numericable.fr club-internet.fr
		libero.it virgilio.it tiscali.it alice.it tin.it tim.it fastwebnet.it inwind.it iol.it email.it
		telefonica.net terra.es ono.com movistar.es sapo.pt netcabo.pt iol.pt
		telenet.be skynet.be proximus.be scarlet.be ziggo.nl kpnmail.nl kpnplanet.nl planet.nl home.nl hetnet.nl xs4all.nl upcmail.nl casema.nl
		btinternet.com btopenworld.com virginmedia.com virgin.net sky.com talktalk.net blueyonder.co.uk ntlworld.com tiscali.co.uk plus.net eircom.net
		online.no telia.com spray.se comhem.se bredband.net mail.dk stofanet.dk tdcadsl.dk kolumbus.fi luukku.com
		seznam.cz email.cz post.cz centrum.cz volny.cz azet.sk centrum.sk zoznam.sk
		wp.pl o2.pl onet.pl onet.eu op.pl interia.pl interia.eu gazeta.pl tlen.pl poczta.fm vp.pl
		freemail.hu citromail.hu abv.bg mail.bg ukr.net i.ua meta.ua bigmir.net
		mail.ru bk.ru inbox.ru list.ru internet.ru rambler.ru ya.ru lenta.ru
		comcast.net verizon.net att.net sbcglobal.net bellsouth.net cox.net charter.net spectrum.net roadrunner.com rr.com optonline.net
		earthlink.net juno.com netzero.net frontier.com frontiernet.net centurylink.net windstream.net mindspring.com
		rogers.com shaw.ca sympatico.ca bell.net telus.net videotron.ca cogeco.ca
		uol.com.br bol.com.br terra.com.br ig.com.br globo.com oi.com.br prodigy.net.mx
		bigpond.com bigpond.net.au optusnet.com.au iinet.net.au tpg.com.au internode.on.net xtra.co.nz slingshot.co.nz
		rediffmail.com sify.com qq.com foxmail.com 163.com 126.com yeah.net sina.com sina.cn sohu.com 139.com 189.cn aliyun.com tom.com
		naver.com daum.net hanmail.net nate.com kakao.com docomo.ne.jp ezweb.ne.jp au.com softbank.ne.jp i.softbank.jp ocn.ne.jp nifty.com biglobe.ne.jp
		walla.co.il walla.com netvision.net.il mweb.co.za telkomsa.net vodamail.co.za
	`) {
		set[domain] = struct{}{}
	}
	return set
}()
