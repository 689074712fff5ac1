# Keeps what mh_batch's rules choose of the standard error, at most 64 KiB of an answer, and prints it when all has been said.
BEGIN { N = ENVIRON["mh_nonce"] }
function keep(s) { if ((size += length(s) + 1) < 65536) kept[++nk] = s }
END { print ""; print N, "errors"; for (i = 1; i <= nk; i++) print kept[i] }
index($0, N " fin") == 1 { exit }
index($0, N " said ") == 1 { size = 0; kept[++nk] = $0; next }
