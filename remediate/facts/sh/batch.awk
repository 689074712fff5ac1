# Emits the answers of mh_batch as output.awk does one: all standard output comes first, then, behind the line "NONCE errors", what was kept
# of the standard error. What comes between an answer's status and the next answer belongs to none.
BEGIN { N = ENVIRON["mh_nonce"]; MAX = 1048576 }
index($0, N " ") == 1 {
  if ($2 == "fin") exit
  if ($2 == "errors") { late = 1; at = "" }
  if ($2 == "fact" && !late) print
  if ($2 == "said") { at = $3; if (!late) begin() }
  if ($2 == "rc" && at != "" && !late) { rc[at] = $3; at = "" }
  next
}
at == "" { next }
late { if ($0 != "") err[at, ++ne[at]] = $0; next }
(raw[at] += length($0) + 1) <= MAX { out[at, ++no[at]] = $0 }
END {
  if (!na) print N, "problem", ENVIRON["mh_name"] " gave no answer"
  for (a = 1; a <= na; a++) emit(name[a])
  n = int(total / 262144)
  exit 10 + (n > 80 ? 80 : n) + (stopped ? 100 : 0)
}

# begin notes an answer and sends its fact.
function begin(   t) {
  name[++na] = at; no[at] = ne[at] = 0
  t = substr($0, length(N) + 1); sub(/^ said [^ ]* [^ ]* ?/, "", t)
  print N, "fact", $4, t
}

# emit writes one answer.
function emit(k,   i, n, nl, state, status) {
  reset(); ni = 0
  n = no[k]; for (i = 1; i <= n; i++) buf[i] = masked(out[k, i])
  status = -1; state = "truncated"
  if ((k in rc) && raw[k] <= MAX) { status = rc[k] + 0; state = status == 124 ? "timeout" : "" }
  if ((k in rc) && rc[k] == 124) stopped = 1
  nl = 0
  if (status >= 0 && n > 0 && buf[n] == "") { n--; pos--; nl = 1 }
  total += pos
  body("output name=" esc(k) " exit=" status (state != "" ? " state=" state : "") " nl=" nl, n, pos)
  reset(); ni = 0
  for (i = 1; i <= ne[k]; i++) buf[i] = masked(err[k, i])
  if (ne[k] > 0) body("stderr name=" esc(k), ne[k], pos)
  total += pos
}
