package exim

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// operator carries out ${NAME:TEXT} (specification §11.6).
func operator(name, v string) (out value) {
	local, domain, at := cutLast(v)
	switch name {
	case "lc":
		return value{strings.ToLower(v), true}
	case "uc":
		return value{strings.ToUpper(v), true}
	case "domain":
		return value{domain, true}
	case "local_part":
		if !at {
			return value{v, true}
		}
		return value{local, true}
	case "strlen":
		return value{strconv.Itoa(len(v)), true}
	case "address":
		if i := strings.LastIndex(v, "<"); i >= 0 {
			v, _, _ = strings.Cut(v[i+1:], ">")
		}
		return value{v, true}
	case "listcount":
		return value{strconv.Itoa(len(splitList(v))), true}
	case "mask":
		p, err := netip.ParsePrefix(v)
		return value{p.Masked().String(), err == nil && p.Addr().Is4()}
	case "md5":
		h := md5.Sum([]byte(v))
		return value{hex.EncodeToString(h[:]), true}
	case "sha1":
		h := sha1.Sum([]byte(v))
		return value{strings.ToUpper(hex.EncodeToString(h[:])), true}
	case "sha256":
		h := sha256.Sum256([]byte(v))
		return value{strings.ToUpper(hex.EncodeToString(h[:])), true}
	case "rxquote":
		return value{quoteEach(v, func(c byte) bool { return !isWord(c) || c == '_' }), true}
	case "eval", "eval10":
		return evaluate(v)
	}
	if head, rest, ok := strings.Cut(name, "_"); ok {
		return cutOperator(head, rest, v)
	}
	return value{}
}

func cutLast(v string) (local, domain string, ok bool) {
	i := strings.LastIndex(v, "@")
	if i < 0 {
		return v, "", false
	}
	return v[:i], v[i+1:], true
}

// cutOperator carries out length_N and substr_N_M.
func cutOperator(name, numbers, v string) value {
	first, second, two := strings.Cut(numbers, "_")
	n := atoi(first)
	if n < 0 {
		return value{}
	}
	switch {
	case (name == "length" || name == "l") && !two:
		return value{v[:min(n, len(v))], true}
	case name == "substr" || name == "s":
		v = v[min(n, len(v)):]
		if m := atoi(second); two && m >= 0 {
			v = v[:min(m, len(v))]
		}
		return value{v, true}
	}
	return value{}
}

func quoteEach(v string, which func(byte) bool) string {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if which(v[i]) {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

var plainSum = regexp.MustCompile(`^\s*(-?\d+)\s*([-+*/])\s*(\d+)\s*$`)

// evaluate does a sum of two numbers; longer ones are not known.
func evaluate(v string) value {
	if n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 32); err == nil {
		return value{strconv.FormatInt(n, 10), true}
	}
	m := plainSum.FindStringSubmatch(v)
	if m == nil {
		return value{}
	}
	a, err := strconv.ParseInt(m[1], 10, 32)
	b, fault := strconv.ParseInt(m[3], 10, 32)
	switch {
	case err != nil || fault != nil || m[2] == "/" && b == 0:
		return value{}
	case m[2] == "+":
		a += b
	case m[2] == "-":
		a -= b
	case m[2] == "*":
		a *= b
	default:
		a /= b
	}
	return value{strconv.FormatInt(a, 10), true}
}

// items are the forms ${NAME{…}{…}…} that are carried out here, with what makes a value of their arguments. nil arguments are unknown.
var items = map[string]func(args []string) value{
	"sg":          substitute,
	"tr":          translate,
	"extract":     extract,
	"listextract": listExtract,
	"length":      func(a []string) value { return cutItem("length", a) },
	"substr":      func(a []string) value { return cutItem("substr", a) },
}

// item reads the arguments of an item and carries it out (§11.5). extract and listextract may have strings for found and not found.
func (x *expansion) item(name string, depth int) value {
	least := map[string]int{"sg": 3, "tr": 3, "length": 2, "substr": 3, "extract": 2, "listextract": 2}[name]
	var args []string
	known := true
	for len(args) < least {
		v, found := x.braced(depth)
		if !found {
			x.broken = true
			return value{}
		}
		args, known = append(args, v.text), known && v.known
		if name == "extract" && len(args) == 2 && atoi(strings.TrimPrefix(strings.TrimSpace(args[0]), "-")) >= 0 {
			least = 3 // a number of a field, and the characters that part fields
		}
	}
	out := value{}
	if known {
		out = items[name](args)
	}
	// a field that is there and empty is found all the same: that is left open
	if name != "extract" && name != "listextract" {
		if x.space(); !x.take("}") {
			x.broken = true
		}
		return out
	}
	t := maybe
	if out.known {
		t = sure(out.text != "")
		if t == yes {
			defer x.with(map[string]string{"value": out.text})()
		}
	}
	return x.branches(t, out.text, depth)
}

func substitute(a []string) value {
	re, err := regexp.Compile(a[1])
	if err != nil || strings.Contains(a[2], "$") && strings.Contains(a[2], "$$") {
		return value{}
	}
	repl := regexp.MustCompile(`\\(\d)`).ReplaceAllString(a[2], `$${$1}`)
	repl = regexp.MustCompile(`\$(\d)`).ReplaceAllString(repl, `$${$1}`)
	if (len(a[0])+1)*(len(repl)+1) > 16*maxExpanded {
		return value{}
	}
	return value{re.ReplaceAllString(a[0], repl), true}
}

func translate(a []string) value {
	b := []byte(a[0])
	if a[2] == "" {
		return value{a[0], true}
	}
	for i, c := range b {
		if j := strings.LastIndexByte(a[1], c); j >= 0 {
			b[i] = a[2][min(j, len(a[2])-1)]
		}
	}
	return value{string(b), true}
}

// extract takes a named field ("name=value …"), or one by number and separators.
func extract(a []string) value {
	if len(a) == 3 {
		n := atoi(strings.TrimSpace(a[0]))
		fields := strings.FieldsFunc(a[2], func(rune) bool { return false })
		if a[1] != "" {
			fields = splitAny(a[2], a[1])
		}
		switch {
		case n == 0:
			return value{a[2], true}
		case n < 0:
			return value{}
		case n > len(fields):
			return value{"", true}
		}
		return value{fields[n-1], fields[n-1] != ""}
	}
	if strings.ContainsAny(a[1], "\"\\{[") {
		return value{} // quoted, or JSON
	}
	for _, f := range strings.Fields(a[1]) {
		if k, v, ok := strings.Cut(f, "="); ok && strings.EqualFold(k, strings.TrimSpace(a[0])) {
			return value{v, v != ""}
		}
	}
	return value{"", true}
}

func splitAny(s, seps string) []string {
	var out []string
	for {
		i := strings.IndexAny(s, seps)
		if i < 0 {
			return append(out, s)
		}
		out, s = append(out, s[:i]), s[i+1:]
	}
}

func listExtract(a []string) value {
	n, err := strconv.Atoi(strings.TrimSpace(a[0]))
	list := splitList(a[1])
	if n < 0 {
		slices.Reverse(list)
		n = -n
	}
	if err != nil || n == 0 {
		return value{}
	}
	if n > len(list) {
		return value{"", true}
	}
	return value{list[n-1], list[n-1] != ""}
}

// cutItem carries out ${length{N}{TEXT}} and ${substr{N}{M}{TEXT}}.
func cutItem(name string, a []string) value {
	if name == "length" {
		return cutOperator(name, strings.TrimSpace(a[0]), a[1])
	}
	return cutOperator(name, strings.TrimSpace(a[0])+"_"+strings.TrimSpace(a[1]), a[2])
}
