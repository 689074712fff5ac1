# Many answers of one program, framed at once: for each of them a few processes fewer.

# mh_batch NAME SECS RULES CMD ARG… runs a program or a function that gives many answers, with the function's own input, and sends each as
# if it had been run by itself. Before each answer CMD writes a line "NONCE said OUTPUT KEY TEXT" to its standard output and its standard
# error: the answer's name, and a fact; mh_turn gives the answer. Lines "NONCE fact KEY VALUE" between answers are sent as they are. RULES
# are of awk and call keep(LINE) for what of the standard error is sent. CMD bounds its own time and the number of its answers; SECS is
# what is counted where one of them was stopped.
mh_batch() {
  mh_name=$1
  mh_secs=$2
  mh_rules=$3
  shift 3
  if [ "$mh_spent" -ge 120 ] || [ "$mh_total" -gt 28672 ]; then
    mh_problem "$mh_name was not run: the time or the size of this collect is used up"
    return 0
  fi
  {
    {
      "$@"
      printf '\n%s fin\n' "$mh_nonce" >&2
    } 2>&1 >&3 | mh_nonce=$mh_nonce awk "$mh_awk_errors$mh_rules" >&3
    printf '\n%s fin\n' "$mh_nonce"
  } 3>&1 | $mh_head 20000000 | mh_nonce=$mh_nonce mh_key=$mh_key mh_name=$mh_name awk "$mh_awk_mask$mh_awk_frame$mh_awk_batch"
  mh_rc=$?
  if [ "$mh_rc" -ge 110 ]; then
    mh_spent=$((mh_spent + mh_secs))
    mh_rc=$((mh_rc - 100))
  fi
  mh__sent "$mh_rc"
}

# mh_turn SECS CMD ARG… gives one answer of mh_batch: it runs a program with the function's own input for at most SECS seconds.
mh_turn() {
  mh_secs=$1
  shift
  mh__limit "$@"
}
