# Emits what a command printed: its standard output up to the line "NONCE rc STATUS", then its standard error.
BEGIN { N = ENVIRON["mh_nonce"]; MAX = 1048576; NAME = ENVIRON["mh_name"]; state = "truncated"; rc = -1; reset(); postfixish = (NAME ~ /postfix|postconf/) }
done { if (index($0, N " fin") == 1) exit; if (ne || ($0 != "" && index($0, N " rc ") != 1)) err[++ne] = $0; next }
index($0, N " rc ") == 1 {
  rc = $3; state = ""; done = 1
  if (rc == 124) state = "timeout"
  next
}
{
  if (pos + length($0) > MAX) exit
  buf[++n] = masked($0)
}
END {
  if (rc >= 0 && n > 0 && buf[n] == "") { n--; pos-- ; nl = 1 } else nl = 0
  out = pos; outmasks = nm
  body("output name=" esc(NAME) " exit=" rc (state != "" ? " state=" state : "") " nl=" nl, n, out)
  reset(); ni = 0
  if (ne > 0) {
    for (i = 1; i <= ne; i++) buf[i] = masked(err[i])
    body("stderr name=" esc(NAME), ne, pos)
  }
  n = int((out + pos) / 262144)
  exit 10 + (n > 80 ? 80 : n) + (state == "timeout" ? 100 : 0)
}
