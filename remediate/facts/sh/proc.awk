# Emits processes. Its input is lines of mh_processes; the words of a command line it reads from /proc where there is one, since ps
# joins them. The start is counted from the boot in ticks of 1/100 s (proc(5): USER_HZ is 100 on every Linux), or is what ps says.
BEGIN {
  FS = "\t"; N = ENVIRON["mh_nonce"]
  while ((getline line < "/proc/stat") > 0) if (line ~ /^btime /) boot = substr(line, 7) + 0
  close("/proc/stat")
}
/^[0-9]+\t/ && ++count <= 200 {
  head = "proc pid=" $1 " ppid=" $2 " uid=" $3 " exe=" esc($4)
  if ($7 != "") head = head " age=" esc($7)
  if ($8 != "") head = head " container=" esc($8)
  f = "/proc/" $1 "/stat"; line = ""
  if (boot && (getline line < f) > 0) {
    sub(/^.*\) /, "", line); split(line, w, " ")
    head = head " start=" int(boot + w[20] / 100)
  }
  close(f)
  args = $6; reset(); postfixish = 0; n = 0; last = 0
  cmd = "{ tr \"\\000\\012\" \"\\012 \" </proc/" $1 "/cmdline; } 2>/dev/null"
  while (boot && n < 200 && (cmd | getline line) > 0) { arg[++n] = line; if (line != "") last = n }
  if (boot) close(cmd)
  if (last == 0) { arg[1] = args; last = 1; head = head " joined=1" }
  for (i = 1; i <= last; i++) buf[i] = masked(substr(arg[i], 1, 4096))
  body(head, last, pos)
}
