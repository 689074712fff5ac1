# What hides secrets. scan(line) marks the places of a line that hold one, masked(line) replaces them by <secret HHHHHHHH>, a keyed
# mark: the same secret has the same mark within a run, and without the key (made on the host, never shown) the mark says nothing of it.
# Offsets of the masks are counted in bytes of what is sent; pos is the number of bytes sent so far.
function reset() { pem = 0; carry = 0; maps = 0; cond = 0; pend = 0; nm = 0; pos = 0 }

# number returns the number that hexadecimal digits stand for.
function number(s,   i, n) {
  for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1
  return n
}

# mark is a polynomial over a prime field, evaluated at two secret points.
function mark(s,   i, a, b, c) {
  if (!P) {
    P = 67108859
    for (i = 1; i < 256; i++) ord[sprintf("%c", i)] = i
    k1 = number(substr(ENVIRON["mh_key"], 1, 6)) + 7; k2 = number(substr(ENVIRON["mh_key"], 7, 6)) + 11
    k3 = number(substr(ENVIRON["mh_key"], 13, 4)) + 1
  }
  a = k3; b = k3 + length(s)
  for (i = 1; i <= length(s); i++) { c = ord[substr(s, i, 1)] + 1; a = (a * k1 + c) % P; b = (b * k2 + c) % P }
  return sprintf("<secret %04x%04x>", a % 65536, b % 65536)
}

# spot notes that l bytes from a on are secret.
function spot(a, l) { if (l > 0) { ni++; ia[ni] = a; il[ni] = l } }

# masked returns the line with its spots replaced; spots that overlap are one.
function masked(s,   i, j, out, at, a, l, m) {
  ni = 0; scan(s)
  if (!ni) { pos += length(s) + 1; return s }
  for (i = 2; i <= ni; i++) {
    a = ia[i]; l = il[i]
    for (j = i - 1; j > 0 && ia[j] > a; j--) { ia[j + 1] = ia[j]; il[j + 1] = il[j] }
    ia[j + 1] = a; il[j + 1] = l
  }
  at = 1; out = ""
  for (i = 1; i <= ni; i++) {
    a = ia[i]; l = il[i]
    while (i < ni && ia[i + 1] <= a + l) { i++; if (ia[i] + il[i] > a + l) l = ia[i] + il[i] - a }
    out = out substr(s, at, a - at)
    m = mark(substr(s, a, l))
    nm++; mo[nm] = pos + length(out); ml[nm] = length(m); mr[nm] = l
    out = out m; at = a + l
  }
  out = out substr(s, at)
  pos += length(out) + 1
  return out
}

# whole marks the value that begins at column a, to the end of the line, and what continues it on the next lines.
function whole(s, a,   v) {
  v = substr(s, a); carry = 0
  if (v ~ /\\$/) { carry = 1; v = substr(v, 1, length(v) - 1) }
  else if (v == "" || postfixish) carry = 2
  sub(/[ \t\r]+$/, "", v)
  spot(a, length(v))
}

# closing returns the length of what stands before the brace that closes the one before column a.
function closing(s, a,   i, d, c) {
  for (i = a; i <= length(s); i++) {
    c = substr(s, i, 1)
    if (c == "{") d++
    else if (c == "}" && d-- == 0) return i - a
  }
  return length(s) - a + 1
}

# literal marks the literal at column a, a secret unless it is itself an expansion.
function literal(s, a) { if (substr(s, a, 1) != "$" && substr(s, a, 1) != "}") spot(a, closing(s, a)) }

# scan knows: PEM keys, AuthInfo of sendmail's access table, its macros and m4 definitions of passwords, exim's hide and its plaintext authenticators, passwords of SQL and LDAP
# tables, inline tables of passwords, passwords in URLs, password hashes. It looks into comments too.
function scan(s,   lo, t, a) {
  lo = tolower(s)
  if (pem) { spot(1, length(s)); if (lo ~ /-----end [a-z0-9 ]*private key/) pem = 0; return }
  if (match(lo, /-----begin [a-z0-9 ]*private key/)) {
    spot(RSTART, length(s) - RSTART + 1)
    if (substr(lo, RSTART) !~ /-----end /) pem = 1
    return
  }
  if (carry == 1 && s ~ /^[ \t]*#/) { whole(s, index(s, "#")); carry = 1; return } # exim passes over comments within a value
  if (carry == 1 || (carry == 2 && s ~ /^[ \t]+[^ \t]/)) { match(s, /^[ \t]*/); t = carry; whole(s, RLENGTH + 1); if (!carry && t == 2) carry = 2; return }
  carry = 0
  if (match(lo, /^[# \t]*authinfo:[^ \t]*[ \t]+/) || match(lo, /^[# \t]*hide[ \t]+[a-z0-9_]+[ \t]*=[ \t]*/) || iskey(lo)) { whole(s, RSTART + RLENGTH); return }
  macros(s, lo); pairs(s, lo); authenticators(s, lo); tables(s, lo)
  t = lo; a = 0
  while (match(t, /[{ \t,;]servers[ \t]*=[ \t]*[^;{}]*\/[^;{}]*;/)) { # of a look-up: host/base/user/password
    t = substr(t, RSTART + 1); a += RSTART; spot(a + index(t, "="), index(t, ";") - index(t, "=") - 1); t = substr(t, index(t, ";")); a = length(lo) - length(t)
  }
  t = lo; a = 0
  while (match(t, /:\/\/[^\/ \t:@]+:[^\/ \t@]+@/)) {
    a += RSTART + 2; t = substr(t, RSTART + 3); spot(a + index(t, ":") + 1, index(t, "@") - index(t, ":") - 1)
  }
  if (match(lo, /^[^:#\/ \t]+:(\{[a-z0-9.-]+\}|\$[0-9a-z]+\$)/)) { a = index(s, ":"); t = substr(s, a + 1); spot(a + 1, index(t, ":") ? index(t, ":") - 1 : length(t)) }
  if (match(lo, /\$(1|2[aby]?|5|6|y|7|apr1)\$[.\/a-z0-9$=,]+/)) spot(RSTART, RLENGTH)
  if (match(lo, /\{(ssha|sha|smd5|md5|crypt|plain|cleartext|clear|pbkdf2|argon2|blf-crypt|cram-md5|digest-md5|plain-md5)[-.a-z0-9]*\}[^ \t:,"}]+/)) spot(RSTART, RLENGTH)
}

# iskey is true where the line gives a value to a name that stands for a secret; RSTART and RLENGTH then cover all before the value.
function iskey(lo,   r, l, v) {
  if (match(lo, /^[# \t]*([a-z0-9_.-]*_)?(password|passwd|passphrase|bind_pw|bindpw|dbpass|pw|pwd|secret|pass|client_send|srs_config|(mysql|pgsql|redis|oracle|ibase)_servers)[ \t]*(=|:[ \t])[ \t]*/)) return 1
  if (!match(lo, /^[# \t]*[a-z0-9_.-]*(passw|secret|pwd|cred)[a-z0-9_.-]*[ \t]*=[ \t]*/) && !match(lo, /^[# \t]*[a-z0-9_.-]*(private_?key|pw)[ \t]*=[ \t]*/)) return 0
  r = RSTART; l = RLENGTH; v = substr(lo, r + l); t = substr(lo, r, l)
  if (v == "" || v ~ /^(\/|\$|[a-z]+:[\/$]|<|yes[ \t]*$|no[ \t]*$|true|false)/) return 0
  if (t ~ /key/ && v ~ /^([a-z0-9]*_[a-z0-9_]*|no|none)[ \t]*$/) return 0 # the name of a macro
  if (t ~ /_(maps?|file|path|dir|scheme|query|filter|attribute|format|method|type|delimiter|options|expire|verify)[ \t]*=/) return 0
  RSTART = r; RLENGTH = l
  return 1
}

# macros marks the value of a macro of sendmail.cf, D{name}VALUE, and of an m4 definition, define(`NAME', `VALUE'), whose name is that of
# a password and whose value is no path and no reference.
function macros(s, lo,   a, l, t) {
  if (match(lo, /^[# \t]*d\{[a-z0-9_.-]*(passw|passphrase|secret|pwd|cred|_pw|bindpw)[a-z0-9_.-]*\}[ \t]*/)) {
    a = RSTART + RLENGTH; t = substr(s, a); sub(/[ \t\r]+$/, "", t); l = length(t)
  } else if (match(lo, /define\(`?[a-z0-9_.-]*(passw|passphrase|secret|pwd|cred|_pw|bindpw)[a-z0-9_.-]*\047?[ \t]*,[ \t]*`*/)) {
    a = RSTART + RLENGTH; t = substr(s, a); l = length(t)
    if (match(t, /\047/) || match(t, /\)/)) l = RSTART - 1
  } else return
  if (substr(s, a) !~ /^(\/|\$|`|[a-z0-9]+:\/)/) spot(a, l)
}

# pairs marks password=VALUE inside a line.
function pairs(s, lo,   a, t, q, l) {
  a = 0; t = lo
  while (match(t, /(^|[^a-z0-9_])(password|passwd|bind_pw|bindpw|pass|pwd|client_secret|api_key)[ \t]*=[ \t]*/)) {
    a += RSTART + RLENGTH - 1; t = substr(t, RSTART + RLENGTH); q = substr(t, 1, 1)
    if (q == "\"" || q == "\047") { a++; t = substr(t, 2); l = index(t, q) ? index(t, q) - 1 : length(t) }
    else { match(t, /^[^ \t,;"}]*/); l = RLENGTH }
    if (substr(t, 1, 1) != "$") spot(a + 1, l)
  }
}

# authenticators marks what exim compares $auth1 to $auth3 ($1 to $3 of a server_condition) with: the text in braces after it or before
# it. "pend" is set where that text stands on the next line.
function authenticators(s, lo,   a, t, v, re) {
  if (lo ~ /server_condition[ \t]*=/) cond = 1
  if (pend && match(s, /^[ \t]*\{/)) literal(s, RLENGTH + 1)
  pend = 0
  if (lo !~ (cond ? "\\$\\{?(auth)?[123]" : "\\$\\{?auth[123]")) { if (lo !~ /\\[ \t]*$/) cond = 0; return }
  v = (cond ? "(auth)?" : "auth") "[123]"
  re = "(\\$" v "|\\$\\{" v "\\}|:\\$" v "\\}|:\\$\\{" v "\\}\\})[ \t]*\\}[ \t]*(\\{|\\\\$)"
  a = 0; t = lo
  while (match(t, re)) {
    a += RSTART + RLENGTH - 1
    if (substr(s, a, 1) == "\\") pend = 1; else literal(s, a + 1)
    t = substr(t, RSTART + RLENGTH)
  }
  re = "\\{[^{}$]+\\}[ \t]*\\{[^{]*\\$\\{?" v
  a = 0; t = lo
  while (match(t, re)) {
    spot(a + RSTART + 1, index(substr(t, RSTART), "}") - 2)
    a += RSTART; t = substr(t, RSTART + 1)
  }
  if (lo !~ /\\[ \t]*$/) cond = 0
}

# tables marks the contents of inline: and static: tables of passwords in main.cf and master.cf.
function tables(s, lo,   a, t) {
  if (maps && lo !~ /^[ \t#]/) maps = 0
  if (lo ~ /password_maps[ \t]*=/) maps = 1
  if (!maps) return
  if (match(lo, /inline:[ \t]*\{?/)) spot(RSTART + RLENGTH, length(s) - RSTART - RLENGTH + 1)
  else if (lo ~ /^[ \t]+\{.*\}/ || inl) { match(s, /^[ \t]*/); spot(RLENGTH + 1, length(s) - RLENGTH) }
  inl = (lo ~ /inline:/ || (inl && lo ~ /^[ \t]/))
  a = 0; t = lo
  while (match(t, /static:[ \t]*/)) {
    a += RSTART + RLENGTH - 1; t = substr(t, RSTART + RLENGTH)
    match(t, /^(\{[^}]*\}?|[^ \t,]+)/); spot(a + 1, RLENGTH)
  }
}
