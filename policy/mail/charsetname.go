package mail

import (
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// otherCharset finds the encoding of a charset name that programs write and no
// registry has, or nil.
func otherCharset(name string) encoding.Encoding {
	name = strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
	return otherCharsets[strings.TrimPrefix(name, "x")]
}

// otherCharsets are such names, without hyphens and a leading x: of Windows code
// pages, Java, PHP and the Mac. They matter where a byte of US-ASCII may be (a
// part of) another character.
var otherCharsets = func() map[string]encoding.Encoding {
	byName := map[string]encoding.Encoding{}
	for enc, names := range map[encoding.Encoding]string{
		japanese.ShiftJIS: `cp932 ms932 mscp932 windows932 cswindows31j sjis sjiswin sjisms sjisopen shiftjis shiftjisms mskanji
			cp942 cp943 ibm943 macjapanese shiftjis2004 shiftjisx0213 sjis0213 ms9320213`,
		japanese.EUCJP: `eucjp eucjpwin eucjpms eucjpopen ujis euc cp20932 cp51932 mscp51932`,
		japanese.ISO2022JP: `iso2022jp iso2022jpms cp50220 cp50221 cp50222 mscp50220 mscp50221 windows50220 windows50221
			windowsiso2022jp jis jis7 junet`,
		korean.EUCKR:                                        `cp949 ms949 mscp949 windows949 uhc euckr mackorean cp51949 ibm949`,
		traditionalchinese.Big5:                             `cp950 ms950 mscp950 windows950 big5 big5hkscs ms950hkscs hkscs cp951 big5eten macchinesetrad ibm950`,
		simplifiedchinese.GBK:                               `mscp936 mswin936 windows936 gb2312 gb231280 euccn eucgb2312cn cngb cp51936 cp20936 macchinesesimp`,
		simplifiedchinese.GB18030:                           `gb18030 cp54936`,
		simplifiedchinese.HZGB2312:                          `hz hzgb2312 cp52936`,
		unicode.UTF16(unicode.LittleEndian, unicode.UseBOM): `ucs2 csunicode unicode`,
	} {
		for name := range strings.FieldsSeq(names) {
			byName[name] = enc
		}
	}
	return byName
}()
