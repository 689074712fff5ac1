# Emits files. Its input says what was asked for and what is known of it: "k TAB kind TAB path TAB target", lines of stat or ls, and
# lines of a checksum tool. A file's bytes it reads itself.
BEGIN { N = ENVIRON["mh_nonce"]; MAX = 1048576; NUL = ENVIRON["mh_nul"] }
/^k\t/ { split($0, w, "\t"); paths[++np] = w[3]; kind[w[3]] = w[2]; target[w[3]] = w[4]; next }
/^s [0-9a-f]+ / {
  p = $0; for (i = 1; i <= 9; i++) sub(/^[^ ]* /, "", p)
  meta[p] = "mode=" $2 " links=" $3 " uid=" $4 " gid=" $5 " mtime=" $7 " owner=" esc($8) " group=" esc($9); size[p] = $6; next
}
/^[-dbcps][-rwxsStTlL]+[.+@]? / {
  p = substr($0, index($0, " /") + 1)
  meta[p] = "perm=" $1 " links=" $2 " owner=" esc($3) " group=" esc($4) " date=" $6 "_" $7 "_" $8; size[p] = $5; next
}
/^[0-9a-f]+ [ *]\// && length($1) == 64 { sum[substr($0, 67)] = "sha256=" $1; next }
/^[0-9]+ [0-9]+ \// { p = $0; sub(/^[0-9]+ [0-9]+ /, "", p); sum[p] = "cksum=" $1; next }
END { for (i = 1; i <= np; i++) emit(paths[i]); exit code() }

# code tells the shell how many blocks of 256 KiB were sent.
function code(   n) { n = int(sent / 262144); return 10 + (n > 100 ? 100 : n) }

# emit writes one file.
function emit(p,   k, head, n, line, got, cut) {
  k = kind[p]; reset()
  head = "file path=" esc(p) (target[p] != "" ? " target=" esc(target[p]) : "") (p in meta ? " " meta[p] " size=" size[p] : "") (p in sum ? " " sum[p] : "")
  if (k != "file") { nm = 0; body(head " state=" k, 0, 0); return }
  if (NUL && holds(p)) { binary(p, head); return }
  postfixish = (p ~ /postfix|main\.cf|master\.cf/)
  n = 0; got = 0; cut = 0; first = ""
  while ((r = (getline line < p)) > 0) {
    if (got + length(line) > MAX) { cut = 1; break }
    got += length(line) + 1
    if (first == "" && line !~ /^[ \t]*(#|$)/) first = line
    if (line ~ /-----BEGIN [A-Z0-9 ]*PRIVATE KEY/ && first ~ /^-----BEGIN/) { close(p); nm = 0; body(head " state=secret", 0, 0); return }
    buf[++n] = masked(line)
  }
  close(p)
  if (r < 0) { nm = 0; body(head " state=unreadable", 0, 0); return }
  if (!cut && size[p] != "" && got != size[p] && got - 1 != size[p]) { binary(p, head); return }
  sent += pos
  body(head (cut ? " state=truncated" : ""), n, pos)
}

# quoted returns a path as one word for the shell.
function quoted(p) { gsub(/\047/, "\047\\\047\047", p); return "\047" p "\047" }

# holds is true where a file holds a NUL. It is asked where this awk takes a NUL for the end of a line, as busybox's does.
function holds(p,   cmd, n) {
  cmd = "tr -d \"\\000\" <" quoted(p) " | wc -c"
  cmd | getline n
  close(cmd)
  return n + 0 != size[p] + 0
}

# binary sends a file that holds bytes which awk cannot read, in hexadecimal, unless something in it looks like a secret.
function binary(p, head,   cmd, line, n, q) {
  q = quoted(p)
  reset(); ni = 0
  cmd = "tr \"\\000\" \"\\012\" <" q
  while ((cmd | getline line) > 0) { scan(line); if (ni) break }
  close(cmd)
  if (ni || pem) { nm = 0; body(head " state=secret", 0, 0); return }
  nm = 0; n = 0; cmd = "od -An -v -tx1 <" q
  while ((cmd | getline line) > 0 && n < 65536) { gsub(/[ \t]/, "", line); buf[++n] = line; sent += length(line) }
  close(cmd)
  body(head " enc=hex" (n >= 65536 ? " state=truncated" : ""), n, 0)
}
