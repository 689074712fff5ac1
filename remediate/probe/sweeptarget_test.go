package probe

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"192.0.2.1":                          {Addr: netip.MustParseAddr("192.0.2.1")},
		"192.0.2.1:2525":                     {Addr: netip.MustParseAddr("192.0.2.1"), Port: 2525},
		"2001:db8::1":                        {Addr: netip.MustParseAddr("2001:db8::1")},
		"::ffff:192.0.2.1":                   {Addr: netip.MustParseAddr("192.0.2.1")},
		"[2001:db8::1]":                      {Addr: netip.MustParseAddr("2001:db8::1")},
		"[2001:db8::1]:465":                  {Addr: netip.MustParseAddr("2001:db8::1"), Port: 465},
		"[192.0.2.1]:25":                     {Addr: netip.MustParseAddr("192.0.2.1"), Port: 25},
		"fe80::1%eth0":                       {Addr: netip.MustParseAddr("fe80::1%eth0")},
		"mail.example.com":                   {Name: "mail.example.com"},
		"mail.example.com.:587":              {Name: "mail.example.com", Port: 587},
		"mx_1":                               {Name: "mx_1"},
		"3com.example":                       {Name: "3com.example"},
		"192.0.2.0/24":                       {Prefix: netip.MustParsePrefix("192.0.2.0/24")},
		"192.0.2.7/32":                       {Prefix: netip.MustParsePrefix("192.0.2.7/32")},
		"2001:db8::/120":                     {Prefix: netip.MustParsePrefix("2001:db8::/120")},
		"0.0.0.0/0":                          {Prefix: netip.MustParsePrefix("0.0.0.0/0")},
		strings.Repeat("a", 63) + ".example": {Name: strings.Repeat("a", 63) + ".example"},
	} {
		got, err := ParseTarget(text)
		want.Text = text
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if d := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}

// TestParseTargetMistakes: each mistake is told, with the nearest right writing.
func TestParseTargetMistakes(t *testing.T) {
	for text, says := range map[string]string{
		"":                        "names no target",
		"a b":                     `holds no ' '`,
		"mx\x1b[31m":              `holds no '\x1b'`,
		"smtp://mx.example":       `no scheme: did you mean "mx.example"?`,
		"smtps://mx.example/":     `did you mean "mx.example:465"?`,
		"root@mx.example":         `is a mail address, and the target is a server: did you mean "mx.example"?`,
		"192.0.2.5/24":            `did you mean "192.0.2.0/24" or "192.0.2.5"?`,
		"192.0.2.0/33":            "a number from 0 to 32",
		"192.0.2.0/":              "a number from 0 to 32",
		"192.0.2.0/024":           "a number from 0 to 32",
		"2001:db8::/129":          "a number from 0 to 128",
		"192.0.2.0/255.255.255.0": `did you mean "192.0.2.0/24"?`,
		"192.0.2/24":              `did you mean "192.0.2.0/24"?`,
		"192.0.2":                 `did you mean "192.0.2.0/24"?`,
		"192.0.2.":                `did you mean "192.0.2.0/24"?`,
		"192.0.2.300":             "neither an address nor a name",
		"192.0.2.01":              "neither an address nor a name",
		"192.0.2.0/24:25":         `did you mean "192.0.2.0/24" with --port 25?`,
		"fe80::%eth0/64":          "has no zone",
		"mx.example/24":           `"mx.example" is no address`,
		"mx.example:":             `did you mean "mx.example"?`,
		"mx.example:smtp":         `"smtp" is no port`,
		"mx.example:0":            `"0" is no port`,
		"mx.example:65536":        `"65536" is no port`,
		"mx.example:025":          `"025" is no port`,
		"2001:db8::1:zz":          "written [ADDRESS]:PORT",
		"[2001:db8::1":            `did you mean "[2001:db8::1]"?`,
		"[2001:db8::1]25":         "comes :PORT or nothing",
		"[2001:db8::1]:":          "[ADDRESS]:PORT",
		"[mx.example]:25":         "[ADDRESS]:PORT",
		"224.0.0.5":               "multicast",
		"0.0.0.0":                 "no host's address",
		"0.0.0.0/31":              "no host's address",
		"::/120":                  "no host's address",
		"::ffff:192.0.2.0/120":    `did you mean "192.0.2.0/24"?`,
		"::ffff:192.0.2.0/90":     "no network of IPv4",
		"255.255.255.255":         "no host's address",
		"224.0.0.0/24":            "multicast",
		"mx..example":             "is no label",
		"-mx.example":             "is no label",
		".":                       "is no label",
		"메일.example":              `did you mean "xn--h32bq4v.example"?`,
		"mx!.example":             `a name holds no '!'`,
		strings.Repeat("a.", 130): "longer than a name may be",
		strings.Repeat("a.", 160): "too long",
	} {
		if _, err := ParseTarget(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func TestTargetAddrs(t *testing.T) {
	for text, want := range map[string][]string{
		"192.0.2.0/30":    {"192.0.2.1", "192.0.2.2"},
		"192.0.2.0/31":    {"192.0.2.0", "192.0.2.1"},
		"192.0.2.9/32":    {"192.0.2.9"},
		"192.0.2.9":       {"192.0.2.9"},
		"2001:db8::8/126": {"2001:db8::8", "2001:db8::9", "2001:db8::a", "2001:db8::b"},
		"mx.example":      nil,
	} {
		target, err := ParseTarget(text)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for a := range target.Addrs() {
			got = append(got, a.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if want != nil && target.Count() != uint64(len(want)) {
			t.Errorf("%s: counts %d, holds %d", text, target.Count(), len(want))
		}
	}
	for text, want := range map[string]uint64{"10.0.0.0/8": 1<<24 - 2, "0.0.0.0/0": 1<<32 - 2, "2001:db8::/64": 1<<64 - 1, "2001:db8::/65": 1 << 63, "::/0": 1<<64 - 1} {
		if target, err := ParseTarget(text); err != nil || target.Count() != want {
			t.Errorf("%s: %d, %v; want %d", text, target.Count(), err, want)
		}
	}
}

func TestParseTargets(t *testing.T) {
	got, err := ParseTargets("ip.txt", "\ufeff# our servers\r\n210.97.106.4\r\n\n  mx.example:587  # the new one\n[2001:db8::1]\n192.0.2.0/28")
	if err != nil {
		t.Fatal(err)
	}
	var at []string
	for _, g := range got {
		at = append(at, g.At+" "+g.Text)
	}
	if want := []string{"ip.txt:2:1 210.97.106.4", "ip.txt:4:3 mx.example:587", "ip.txt:5:1 [2001:db8::1]", "ip.txt:6:1 192.0.2.0/28"}; !slices.Equal(at, want) {
		t.Errorf("%q, want %q", at, want)
	}
	_, err = ParseTargets("ip.txt", "192.0.2.1\n  192.0.2.5/24\n192.0.2.1 192.0.2.2\nmx.example:smtp\n@more\n메일 서버\n")
	want := `ip.txt:2:3: "192.0.2.5/24" has bits beyond its first 24: did you mean "192.0.2.0/24" or "192.0.2.5"?
ip.txt:3:11: "192.0.2.2" is one target too many for a line
ip.txt:4:12: "mx.example:smtp": "smtp" is no port: a port is a number from 1 to 65535
ip.txt:5:1: "@more": a list names no further list
ip.txt:6:4: "서버" is one target too many for a line`
	if err == nil || err.Error() != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, err.Error()))
	}
	if _, err := ParseTargets("ip.txt", "# nothing\n\n"); err == nil || err.Error() != "ip.txt: it names no target" {
		t.Errorf("%v", err)
	}
	if _, err := ParseTargets("ip.txt", strings.Repeat("bad:\n", 1000)); err == nil || strings.Count(err.Error(), "\n") != mistakesShown {
		t.Errorf("%v", err)
	}
}

// FuzzParseTarget: what is read means what was written, and no message holds what a terminal would obey.
func FuzzParseTarget(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "[2001:db8::1]:465", "192.0.2.0/24", "mx.example:25", "smtp://x", "a@b", "[", "1/", "192.0.2", ":::", "메일"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseTarget(text)
		if err != nil {
			if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }) {
				t.Fatalf("%q: the message is %q", text, err)
			}
			return
		}
		kinds := 0
		for _, is := range []bool{got.Name != "", got.Addr.IsValid(), got.Prefix.IsValid()} {
			if is {
				kinds++
			}
		}
		if kinds != 1 {
			t.Fatalf("%q is %d things: %+v", text, kinds, got)
		}
		n := uint64(0)
		for a := range got.Addrs() {
			if n++; n > 300 {
				break
			}
			if got.Prefix.IsValid() && !got.Prefix.Contains(a) {
				t.Fatalf("%q holds %s", text, a)
			}
		}
		if n <= 300 && got.Name == "" && n != got.Count() {
			t.Fatalf("%q: %d addresses, %d counted", text, n, got.Count())
		}
		list, err := ParseTargets("f", text+"\n")
		if err != nil || len(list) != 1 || list[0].Text != text {
			t.Fatalf("%q in a list: %v, %v", text, list, err)
		}
	})
}

func FuzzParseTargets(f *testing.F) {
	f.Add("192.0.2.1\n# x\n\n a b\n@x\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseTargets("f", text)
		if (len(list) > 0) == (err != nil) {
			t.Fatalf("%d targets and %v", len(list), err)
		}
		for _, one := range list {
			if !strings.Contains(text, one.Text) || !strings.HasPrefix(one.At, "f:") {
				t.Fatalf("%q at %q", one.Text, one.At)
			}
		}
	})
}
