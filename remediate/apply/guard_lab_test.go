package apply_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mtaharden/inventory"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// labFile is changed on the lab's hosts, and put back.
const labFile = "/etc/postfix/main.cf"

// onHost runs sh on a host and returns what it prints; a status other than 0 is the test's failure.
func onHost(t *testing.T, h remote.Host, script string) string {
	t.Helper()
	res, err := h.Run(t.Context(), remote.Script(script), 1<<20)
	if err != nil || res.Exit != 0 {
		t.Fatalf("%.200s: status %d, %v: %s %s", script, res.Exit, err, res.Stdout, res.Stderr)
	}
	return string(res.Stdout)
}

// prepare makes a run's folder on a host, ready for the guard and the swap of labFile.
func prepare(t *testing.T, h remote.Host, run string) {
	t.Helper()
	before := onHost(t, h, "cat "+labFile)
	after := before + "\n# changed by run " + run + "\nsmtpd_banner = changed.example ESMTP\n"
	of := func(text string) backup.State {
		s := sha256.Sum256([]byte(text))
		return backup.State{Hash: "sha256:" + hex.EncodeToString(s[:]), Size: int64(len(text)), Mode: "0644"}
	}
	m := backup.Manifest{
		Run:    run,
		Items:  []backup.Item{{Kind: plan.EditFile, Path: labFile, Before: of(before), After: of(after), Kept: true}},
		Reload: []plan.Command{{Argv: []string{"postfix", "reload"}}},
	}
	scripts, err := apply.Write(m, journal.Layout{})
	if err != nil {
		t.Fatal(err)
	}
	text := "umask 077; chmod 644 " + labFile + " && rm -rf /var/lib/mtaharden/" + run + " && mkdir -p /var/lib/mtaharden/lock /var/lib/mtaharden/" + run +
		" && cd /var/lib/mtaharden/" + run + " && echo " + run + " >../lock/run && mkdir keep copy new && ln " + labFile + " keep/1 && cp -a " + labFile + " copy/1 || exit 1\n"
	text += journal.Layout{}.Head(run)
	for name, data := range map[string]string{"new/1": after, "swap.sh": scripts.Swap, "restore.sh": scripts.Restore, "guard.sh": scripts.Guard, "confirm.sh": scripts.Confirm} {
		text += journal.Put("$mh_dir/"+name, []byte(data)) + "[ $? -eq 0 ] || exit 1\n"
	}
	onHost(t, h, text)
}

// fingerprint is all that a restore must bring back.
func fingerprint(t *testing.T, h remote.Host) string {
	t.Helper()
	return onHost(t, h, "stat -c '%a %u %g %h %i %y' "+labFile+"; sha256sum "+labFile+"; find /etc -name '*mtaharden*'; ls /etc/systemd/system/sysinit.target.wants /etc/rcS.d 2>&1")
}

const labRun = "sh /var/lib/mtaharden/%s/"

// loginSh arms the guard within a login that ends at once. systemd ends everything that is left of one where logind.conf(5) has
// KillUserProcesses=yes: it stops the login's scope, as here, and what setsid started there dies with it.
const loginSh = `
run=%s wait=%d
cd /var/lib/mtaharden/$run
[ -d /run/systemd/system ] || exec sh guard.sh --arm $wait
systemd-run --scope --quiet --unit=login-$run sh -c "setsid sleep 54321 & sh guard.sh --arm $wait; sleep 54321" >armed 2>&1 </dev/null &
n=0
until [ -s armed ] || [ $n -gt 100 ]; do sleep 1; n=$((n + 1)); done
systemctl stop login-$run.scope
! ps -e -o args= | grep '[s]leep 54321' || exit 1
cat armed`

// TestLabGuard holds on real hosts with systemd and without that the guard restores by itself when its time is over, though the login that
// armed it has ended; that a confirmation ends it; and that a host that is rebooted meanwhile is put back before its MTA starts.
func TestLabGuard(t *testing.T) {
	if os.Getenv("MTALAB") != "1" {
		t.Skip("needs the lab: go run ./cmd/mtalab test")
	}
	inv, err := inventory.Load(os.Getenv("MTALAB_INVENTORY"))
	if err != nil {
		t.Fatal(err)
	}
	t.Parallel()
	for host, how := range map[string]string{"deb13-postfix": "systemd-run", "deb12-sysvinit-postfix": "setsid"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			i := slices.IndexFunc(inv.Hosts, func(h *inventory.Host) bool { return h.Name == host })
			if i < 0 {
				t.Fatalf("the lab has no %s", host)
			}
			h := inv.Hosts[i]
			for name, ends := range map[string]func(*testing.T, *inventory.Host, string){"deadline": endsByItself, "confirm": endsConfirmed, "reboot": endsByBoot} {
				t.Run(name, func(t *testing.T) {
					guardOnce(t, h, how, name, ends)
				})
			}
		})
	}
}

func guardOnce(t *testing.T, h *inventory.Host, how, name string, ends func(*testing.T, *inventory.Host, string)) {
	r := dial(t, h)
	run := "lab-" + name + "-" + strconv.FormatInt(time.Now().UnixNano()%1e6, 36)
	prepare(t, r, run)
	defer func() { onHost(t, dial(t, h), fmt.Sprintf("rm -rf /var/lib/mtaharden/%s", run)) }()
	before := strings.Replace(fingerprint(t, r), " 2 ", " 1 ", 1)
	wait := map[string]int{"deadline": 40}[name]
	if wait == 0 {
		wait = 300
	}
	if got := onHost(t, r, fmt.Sprintf(loginSh, run, wait)); got != "armed "+how+"\n" {
		t.Fatalf("arm: %q", got)
	}
	onHost(t, r, fmt.Sprintf(labRun+"swap.sh", run))
	if got := onHost(t, r, "postconf -h smtpd_banner"); got != "changed.example ESMTP\n" {
		t.Fatalf("after the swap: %q", got)
	}
	r.Close()
	ends(t, h, run)
	after := fingerprint(t, dial(t, h))
	if name == "confirm" {
		if !strings.Contains(onHost(t, dial(t, h), "postconf -h smtpd_banner"), "changed") || strings.Contains(after, "mtaharden") {
			t.Errorf("after the confirmation: %s", after)
		}
		onHost(t, dial(t, h), fmt.Sprintf(labRun+"restore.sh", run)) // and back again, by hand
		after = fingerprint(t, dial(t, h))
	}
	if after != before {
		t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
	}
	if left := onHost(t, dial(t, h), "ls -d /var/lib/mtaharden/lock 2>/dev/null; ps -e -o args= | grep '[g]uard.sh'; ! [ -d /run/systemd/system ] || systemctl list-units --no-legend 'mtaharden*'"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// endsByItself waits for the guard.
func endsByItself(t *testing.T, h *inventory.Host, run string) {
	t.Helper()
	awaitEnd(t, h, run)
}

func awaitEnd(t *testing.T, h *inventory.Host, run string) {
	t.Helper()
	r := dial(t, h)
	if got := onHost(t, r, "n=0; until [ -e /var/lib/mtaharden/"+run+"/end ] && [ ! -d /var/lib/mtaharden/lock ]; do n=$((n+1)); [ $n -lt 400 ] || break; sleep 1; done; sleep 2; cat /var/lib/mtaharden/"+run+"/end"); got != "restored\n" {
		t.Fatalf("the run's end: %q", got)
	}
}

func endsConfirmed(t *testing.T, h *inventory.Host, run string) {
	t.Helper()
	if got := onHost(t, dial(t, h), fmt.Sprintf(labRun+"confirm.sh", run)); got != "0 confirmed \n" {
		t.Fatalf("confirm: %q", got)
	}
}

// endsByBoot reboots the host and holds that the run was over when its MTA started.
func endsByBoot(t *testing.T, h *inventory.Host, run string) {
	t.Helper()
	if out, err := exec.Command(remotetest.LabProgram(t), "reboot", h.Name).CombinedOutput(); err != nil {
		t.Fatalf("reboot: %v\n%s", err, out)
	}
	awaitEnd(t, h, run)
	onHost(t, dial(t, h), "[ /var/lib/mtaharden/"+run+"/end -ot /var/spool/postfix/pid/master.pid ]")
}
