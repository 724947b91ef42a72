package mail

import (
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// TestSecondBytesAreNoAtSigns: under every name that mail gives a charset, a
// character with the byte 0x40 is no @, and an address is one.
func TestSecondBytesAreNoAtSigns(t *testing.T) {
	for _, family := range []struct {
		enc         encoding.Encoding
		text, names string
	}{
		{japanese.ShiftJIS, "山田　太郎", "shift_jis Shift-JIS SHIFTJIS sjis x-sjis SJIS-win sjis_win cp932 CP932 ms932 MS_Kanji windows-31j csWindows31J Windows-932 x-ms-cp932 x-mac-japanese ibm943"},
		{japanese.ISO2022JP, "西生", "iso-2022-jp csISO2022JP iso-2022-jp-1 ISO-2022-JP-2 iso-2022-jp-3 ISO-2022-JP-MS cp50220 CP50221 cp50222 x-windows-iso2022jp jis"},
		{traditionalchinese.Big5, "一般", "big5 Big5-HKSCS big5hkscs cn-big5 cp950 CP950 ms950 MS950 windows-950 x-windows-950 x-ms-cp950 x-big5"},
		{simplifiedchinese.GBK, "丂珸", "gbk GB2312 gb-2312 cp936 ms936 windows-936 x-mswin-936 gb18030 GB-18030 euc-cn"},
	} {
		name, err := family.enc.NewEncoder().String(family.text)
		if err != nil || !strings.Contains(name, "@") {
			t.Fatalf("%s: %q has no byte 0x40: %v", family.text, name, err)
		}
		address, err := family.enc.NewEncoder().String(family.text + " ann@x.example")
		if err != nil {
			t.Fatal(err)
		}
		for label := range strings.FieldsSeq(family.names) {
			for text, want := range map[string]int{name: 0, address: 1} {
				word := "=?" + label + "?B?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
				if got := DistinctAddresses([]byte(word)).Len(); got != want {
					t.Errorf("%s in %s shows %d, want %d", word, label, got, want)
				}
			}
		}
	}
}
