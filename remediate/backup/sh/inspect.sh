# What a host keeps of its runs.

# mh_inspect sends of every run its manifest and the hashes of what it kept, at most MAXRUNS of them, the newest.
mh_inspect() {
  mh_n=0
  for mh_d in "$mh_base"/*/; do mh_n=$((mh_n + 1)); done
  for mh_d in "$mh_base"/*/; do
    mh_n=$((mh_n - 1))
    mh_d=${mh_d%/}
    case ${mh_d##*/} in '*' | lock | *[!A-Za-z0-9._-]*) continue ;; esac
    [ "$mh_n" -lt MAXRUNS ] && [ ! -h "$mh_d" ] || continue
    mh_fact run "${mh_d##*/}"
    [ -f "$mh_d/manifest" ] || continue
    mh_blob manifest "$mh_d/manifest" 8192
    mh_blob sums "$mh_d/sums" 16
    if mh_line "$mh_d/end"; then mh_fact end "$mh_text"; fi
    mh_hashes "$mh_d"
    if grep '"cksum:' "$mh_d/manifest" >/dev/null && [ "$mh__sha" != cksum ]; then
      mh_f=$mh__sha
      mh__sha=cksum
      mh_hashes "$mh_d"
      mh__sha=$mh_f
    fi
  done
}

mh_hashes() {
  for mh_file in "$1"/copy/* "$1"/keep/* "$1"/*.sh "$1/manifest"; do
    [ -f "$mh_file" ] && [ ! -h "$mh_file" ] || continue
    mh_hash "$mh_file" || mh_sum=unreadable
    mh_fact sum "${mh_file#"$1/"} $mh_sum"
  done
}

# mh_prune RUN... removes the folders of runs, each at once, and sends which are gone. Where any run is at work nothing goes. What a copy that was
# cut off on its way here left goes too.
mh_prune() {
  rm -rf "$mh_base"/.gone.*
  [ -e "$mh_base/lock" ] || rm -rf "$mh_base"/.upload.* "$mh_base"/.sent.*
  for mh_r; do
    mh_d=$mh_base/$mh_r
    [ -d "$mh_d" ] || continue
    if [ -e "$mh_base/lock" ]; then
      mh_fact kept "$mh_r a run has the host's lock"
    elif [ -d "$mh_d/guard" ] || [ -f "$mh_d/hooks" ]; then
      mh_fact kept "$mh_r its guard is armed"
    elif mv "$mh_d" "$mh_base/.gone.$mh_r" && mh_durable "$mh_base" && rm -rf "$mh_base/.gone.$mh_r" "$mh_base/.old.$mh_r"; then
      mh_fact gone "$mh_r"
    else
      mh_fact kept "$mh_r its folder cannot be removed"
    fi
  done
}
