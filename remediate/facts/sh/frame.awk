# esc writes a name as one word: bytes that are not plain letters, digits and common marks become %HH.
function esc(s,   i, c, out) {
  if (s !~ /[^A-Za-z0-9_.\/:+,@-]/) return s
  if (!("!" in hexof)) for (i = 1; i < 256; i++) hexof[sprintf("%c", i)] = sprintf("%%%02x", i)
  out = ""
  for (i = 1; i <= length(s); i++) {
    c = substr(s, i, 1)
    out = out ((c ~ /[A-Za-z0-9_.\/:+,@-]/) ? c : hexof[c])
  }
  return out
}

# body writes the n lines of buf behind their header and the places of their masks.
function body(head, n, bytes,   i) {
  print N, head, "lines=" n, "bytes=" bytes
  for (i = 1; i <= nm; i++) print N, "mask", mo[i], ml[i], mr[i]
  for (i = 1; i <= n; i++) print "|" buf[i]
  print N, "end"
}
