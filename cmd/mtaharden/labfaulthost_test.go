package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mtaharden/remediate/apply"
)

// hostFault is something that goes wrong at the boundary of a step.
type hostFault struct {
	name    string
	prepare string        // sh: run on the host before the apply
	strike  string        // sh: run on the host as soon as the step stands in its journal
	kill    bool          // the controller is killed
	stop    bool          // the controller sleeps until the host has decided without it
	cut     bool          // the host loses its power, and boots
	heal    string        // sh: ends it
	lasts   time.Duration // after which it ends; 0: when the controller has ended, or after a minute
	after   string        // sh: takes away what prepare made
}

// Parts of faults.
const (
	runsDir = "/var/lib/mtaharden"
	killSsh = `for p in /proc/[0-9]*; do read -r n <$p/comm && case $n in sshd*) kill -KILL ${p##*/} ;; esac; done 2>/dev/null; :`
	// fakeDate makes a date(1) of what only the scripts of runs have in their PATH; it goes wrong by the seconds in a file.
	fakeDate = `mkdir -p /usr/xpg6/bin && printf '%s\n' '#!/bin/sh' 'n=0' '[ ! -f /run/wrong-clock ] || read -r n </run/wrong-clock' \
'case $* in +%s) echo $(($(/bin/date +%s) + n)) ;; *) exec /bin/date "$@" ;; esac' >/usr/xpg6/bin/date && chmod 755 /usr/xpg6/bin/date`
	noFakeDate = "rm -rf /usr/xpg6 /run/wrong-clock"
	// smallRuns puts the folder of the runs on a disk of its own that has little room. It is no tmpfs to look at, on which no guard is armed. Exim
	// wants 10 MiB for its spool (check_spool_space), in the stage too, which lies there.
	smallRuns = "mkdir -p -m 700 " + runsDir + ` /run/full && mount -t tmpfs -o size=24m,mode=700 tmpfs /run/full && mkdir -m 700 /run/full/l /run/full/u /run/full/w &&
  mount -t overlay -o lowerdir=/run/full/l,upperdir=/run/full/u,workdir=/run/full/w overlay ` + runsDir
	// smallConf puts the MTA's configuration on a disk of its own that has little room.
	smallConf = `for d in /etc/postfix /etc/mail /etc/exim4; do [ -d $d ] && [ "$(ls $d | wc -l)" -gt 3 ] || continue
  mkdir /run/conf && mount -t tmpfs -o mode=755,size=$(($(du -sk $d | cut -f1) + 64))k tmpfs /run/conf && cp -a $d/. /run/conf/ && chown --reference=$d /run/conf &&
  chmod --reference=$d /run/conf && touch -r $d /run/conf && mount --bind /run/conf $d && umount /run/conf && rmdir /run/conf && echo $d >/run/conf-dir; done`
)

// hostFaults are all that a host and its controller are put through.
var hostFaults = []hostFault{
	{name: "kill", kill: true},
	{name: "stop", stop: true},
	{name: "link", strike: "ip link set host0 down", heal: "ip link set host0 up; ifdown --force host0 >/dev/null 2>&1; ifup --force host0", lasts: 65 * time.Second},
	{name: "sshd", strike: "systemctl stop ssh.socket ssh.service 2>/dev/null; " + killSsh, heal: "systemctl start ssh.service", lasts: 25 * time.Second},
	{name: "power", strike: "kill -STOP -1", cut: true},
	{name: "full", prepare: smallRuns, strike: "dd if=/dev/zero of=" + runsDir + "/fill bs=4096 2>/dev/null; :", heal: "rm -f " + runsDir + "/fill",
		after: "umount -l " + runsDir + " /run/full && rmdir /run/full"},
	{name: "full-conf", prepare: smallConf, strike: `dd if=/dev/zero of="$(cat /run/conf-dir)/.fill" bs=512 2>/dev/null; :`,
		heal: `rm -f "$(cat /run/conf-dir)/.fill"`, after: `umount -l "$(cat /run/conf-dir)"`},
	// Debian's make of sendmail gives /etc/mail/databases to root:root and only then to root:smmsp, and builds maps under names beside theirs. Cut in
	// between by a disk that has turned read-only it leaves the one so until the .mc is touched again, the others until their map is built again: that
	// is Debian's, on a host without any run too, and is put right with the disk.
	{name: "read-only", strike: "mount --bind /etc /etc && mount -o remount,bind,ro /etc",
		heal: "umount -l /etc && { ! [ -f /etc/mail/databases ] || chgrp smmsp /etc/mail/databases; } && rm -f /etc/mail/*.new.db"},
	{name: "clock-ahead", prepare: fakeDate, strike: "echo 86400 >/run/wrong-clock", kill: true, after: noFakeDate},
	{name: "clock-behind", prepare: fakeDate, strike: "echo -86400 >/run/wrong-clock", kill: true, after: noFakeDate},
}

// watchSh waits until a run's journal has the beginning of step $1, runs $2, and prints the journal's last line. It is for bash, which can wait
// a moment without starting a process: it reads from a pipe on which nothing comes. That it is closed ends the wait.
const watchSh = `n=0 hit=
while [ -z "$hit" ] && [ $n -lt 12000 ]; do
  read -r -t 0.02
  [ $? -gt 128 ] || exit 1
  n=$((n + 1))
  for j in /var/lib/mtaharden/*/journal; do
    while read -r seq at step state text; do
      case "$step $state" in "$1 doing" | "$1 done") hit=1 ;; esac
    done <"$j"
  done 2>/dev/null
done
[ -n "$hit" ] || exit 1
eval "$2" >&2
tail -n 1 /var/lib/mtaharden/*/journal`

// faultTreeSh is treeSh, whatever disk the configuration is on, without the seed that sysvinit's /etc/init.d/urandom writes anew at each boot
// (systemd's is in /var/lib/systemd, which treeSh leaves out).
var faultTreeSh = strings.NewReplacer(" -xdev", "", `\( -path `, `\( -path /var/lib/urandom/random-seed -o -path `).Replace(treeSh)

// daemonsSh counts the processes of the MTA that nothing but init has started.
const daemonsSh = `ps -e -o ppid= -o comm= | awk '$1 == 1 && $2 ~ /^(master|exim4|sendmail|sendmail-mta)$/' | sort | uniq -c`

// leftSh lists what no run may leave behind.
const leftSh = `ls -d /var/lib/mtaharden/lock /var/lib/mtaharden/*/stage /var/lib/mtaharden/*/guard /var/lib/mtaharden/*/room.* /var/lib/mtaharden/*/holding.* 2>/dev/null
find / -xdev \( -path /proc -o -path /sys -o -path /var/lib/mtaharden \) -prune -o -name '*mtaharden*' -print
ps -e -o args= | grep '/var/lib/mtaharden/[^ ]*' | grep -v grep
grep /var/lib/mtaharden/ /proc/mounts
! [ -d /run/systemd/system ] || systemctl list-units --no-legend 'mtaharden*'`

// armedSh says whether a guard waits or is at work, or a script of a run, or the shell that holds the lock.
const armedSh = `read -r p </var/lib/mtaharden/lock/pid && [ -d /proc/$p ] && echo $p; ps -e -o args= | grep -E '^(/bin/)?sh /var/lib/mtaharden/[^ ]*/(guard|swap|restore|confirm).sh' || :`

// mailSh has the host take a message for its own root.
const mailSh = `n=0
until exec 3<>/dev/tcp/127.0.0.1/25; do n=$((n + 1)); [ $n -lt 30 ] || exit 1; sleep 1; done 2>/dev/null
reply() { while read -r -t 60 line <&3; do case $line in [0-9][0-9][0-9]-*) ;; *) break ;; esac; done; case $line in [23]*) ;; *) echo "$1: $line"; exit 1 ;; esac; }
reply greeting
for say in "EHLO client.example.net" "MAIL FROM:<a@example.com>" "RCPT TO:<root@$(hostname -f)>" DATA "Subject: a test
.
QUIT"; do printf '%s\r\n' "$say" | sed 's/\r*$/\r/' >&3; reply "$say"; done`

// tree says how the host stands: "before", or "after" where anything differs, which is then held to be all that a run changes.
func (h *faultyHost) tree(t *testing.T) (kind, now string) {
	t.Helper()
	now = h.on(t, h.name, faultTreeSh)
	if linkless(now) == linkless(h.before) {
		return "before", now
	}
	return "after", now
}

// linkless is a tree without the numbers of names: a run that has not ended keeps second ones.
func linkless(tree string) string {
	var b strings.Builder
	for line := range strings.Lines(tree) {
		if f := strings.Fields(line); len(f) >= 6 {
			f[3] = ""
			line = strings.Join(f, " ") + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// places are the paths, with owner and mode, of what differs.
func places(a, b string) []string {
	var out []string
	for line := range strings.Lines(differing(a, b)) {
		f := strings.Fields(line)
		out = append(out, strings.Join(f[:min(3, len(f))], " "))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// try is one case from its beginning to its end.
func (h *faultyHost) try(t *testing.T, c faultCase) {
	if c.fault.prepare != "" {
		h.on(t, h.name, c.fault.prepare)
	}
	defer func() {
		if c.fault.after != "" {
			h.on(t, h.name, c.fault.after)
		}
		h.clean(t)
	}()
	at := h.watch(t, c)
	ctl := h.begin(t, state(t))
	line := h.struck(t, ctl, at)
	h.disturb(t, c, ctl)
	said := ctl.claimed(t)
	t.Logf("struck at %q; controller: %+v", line, said)
	h.judge(t, said, line)
	h.settleDown(t)
}

// struck waits for the strike. Who watches sees what a controller that has ended left in the journal.
func (h *faultyHost) struck(t *testing.T, ctl *controller, at chan string) string {
	t.Helper()
	line, hit := "", false
	select {
	case line, hit = <-at:
	case <-ctl.ended:
		select {
		case line, hit = <-at:
		case <-time.After(time.Minute):
		}
	}
	if !hit {
		<-ctl.ended
		t.Fatalf("the run never came to it: %s", ctl.stderr.String())
	}
	return line
}

// disturb brings the fault about beyond what has happened on the host, and waits until it is over and the controller has ended.
func (h *faultyHost) disturb(t *testing.T, c faultCase, ctl *controller) {
	t.Helper()
	limit := time.NewTimer(6 * time.Minute)
	defer limit.Stop()
	switch {
	case c.fault.kill:
		ctl.cmd.Process.Kill()
	case c.fault.stop:
		ctl.cmd.Process.Signal(syscall.SIGSTOP)
		h.sleepPast(t, c.step)
		ctl.cmd.Process.Signal(syscall.SIGCONT)
	case c.fault.cut:
		ctl.cmd.Process.Signal(syscall.SIGSTOP)
		if out, err := exec.Command(h.program, "reboot", "--cut", h.name).CombinedOutput(); err != nil {
			t.Fatalf("cannot cut its power: %v\n%s", err, out)
		}
		ctl.cmd.Process.Signal(syscall.SIGCONT)
	}
	if c.fault.heal != "" {
		wait := c.fault.lasts
		if wait == 0 {
			wait = time.Minute
		}
		select {
		case <-time.After(wait):
		case <-func() chan struct{} {
			if c.fault.lasts == 0 {
				return ctl.ended
			}
			return nil
		}():
		}
		h.on(t, h.name, c.fault.heal)
	}
	select {
	case <-ctl.ended:
	case <-limit.C:
		t.Fatalf("the controller does not end:\n%s", ctl.stderr.String())
	}
}

// sleepPast waits as long as the controller is to sleep: where a guard is or will be armed until the host has put itself back, else for the time
// to confirm.
func (h *faultyHost) sleepPast(t *testing.T, step apply.Step) {
	t.Helper()
	if slices.Index(apply.Steps(), step) < slices.Index(apply.Steps(), apply.Guard) {
		time.Sleep(confirmWithin + 2*time.Second)
		return
	}
	h.on(t, h.name, fmt.Sprintf("n=0; until ls /var/lib/mtaharden/*/end >/dev/null 2>&1 || [ $n -gt %d ]; do sleep 1; n=$((n + 1)); done", 4*int(confirmWithin.Seconds())))
}

// judge holds what is said of the host against what it is, once nobody is at work there any more.
func (h *faultyHost) judge(t *testing.T, said *claim, line string) {
	t.Helper()
	h.on(t, h.name, "n=0; while [ -n \"$("+armedSh+")\" ] 2>/dev/null; do n=$((n + 1)); [ $n -le 300 ] || exit 1; sleep 1; done")
	kind, now := h.tree(t)
	endings := map[string]string{"changed": "after", "rolled-back": "before", "unchanged": "before"}
	exits := map[string]int{"changed": 0, "rolled-back": exitRolledBack, "unchanged": exitAsItWas}
	if said != nil {
		want, known := endings[said.Outcome]
		if !known || want != kind || said.code != exits[said.Outcome] && said.code != exitUnreachable {
			t.Errorf("the controller says %+v, the tree is as %s\n%s\n%s", said, kind, differing(h.before, now), h.on(t, h.name, "cat /var/lib/mtaharden/*/journal"))
		}
	}
	told := h.runs(t)
	if len(told) != 1 {
		t.Fatalf("the host tells of %d runs: %+v", len(told), told)
	}
	t.Logf("the host: %+v, tree: %s", told[0], kind)
	switch want, known := endings[told[0].Outcome]; {
	case told[0].Over && (!known || want != kind):
		t.Errorf("runs says %+v, the tree is as %s\n%s", told[0], kind, h.on(t, h.name, "cat /var/lib/mtaharden/*/journal"))
	case !told[0].Over && kind != "before":
		t.Errorf("runs says %+v, nobody is at work, and the tree is as %s\n%s", told[0], kind, h.on(t, h.name, "cat /var/lib/mtaharden/*/journal"))
	}
	if said != nil && told[0].Over && endings[said.Outcome] != endings[told[0].Outcome] {
		t.Errorf("the controller says %+v, the host %+v", said, told[0])
	}
	h.again(t, told[0], kind)
	if kind == "after" && !slices.Equal(places(h.before, now), places(h.before, h.undisturbed(t))) {
		t.Errorf("it was left in between:\n%s\nwhere a whole run makes:\n%s", differing(h.before, now), differing(h.before, h.after))
	}
}

// again is the next run: of a host with a run that has not ended it says so, and it finds it as it was.
func (h *faultyHost) again(t *testing.T, was claim, kind string) {
	t.Helper()
	dir, outcome, run := state(t), "changed", ""
	if kind == "after" {
		outcome = "unchanged"
	}
	if !was.Over || kind == "after" {
		code, out, stderr := mtaharden("apply", h.plan, "-i", h.inventory, "--limit", h.name, "--yes", "--batch", "--state", dir, "--format", "json")
		if !strings.Contains(out, `"outcome": "`+outcome+`"`) || code != 0 {
			t.Fatalf("the next run ends with %d:\n%s\n%s", code, out, stderr)
		}
		if !was.Over && !strings.Contains(out, "run "+was.Run+" was broken off") {
			t.Errorf("the next run does not tell of %s:\n%s", was.Run, out)
		}
		told := h.runs(t)
		i := slices.IndexFunc(told, func(c claim) bool { return c.Run == was.Run })
		if i < 0 || !told[i].Over {
			t.Errorf("after the next run, %s is told of as %+v", was.Run, told)
		}
		run = was.Run
		if !was.Over {
			run = told[len(told)-1].Run
		}
	}
	h.takesMail(t, h.name)
	if run != "" {
		h.byHand(t, run)
	}
}

// settleDown holds that nothing of a run is left, and that the MTA runs as it did.
func (h *faultyHost) settleDown(t *testing.T) {
	t.Helper()
	if left := h.on(t, h.name, "{ "+leftSh+"; } || :"); left != "" {
		t.Errorf("left:\n%s", left)
	}
	for n := 0; ; n++ {
		now := h.on(t, h.name, daemonsSh)
		if now == h.daemons {
			return
		}
		if n == 20 {
			t.Errorf("daemons:\n%swere:\n%s", now, h.daemons)
			return
		}
		time.Sleep(time.Second)
	}
}
