package apply

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// manager is how an init system is told to start or stop a service. NAME and PATH stand for the service's name and its start script.
type manager struct {
	start, stop []string
	changed     []string // tells it that boot links moved
	// Start and stop a service while the machine boots, whose manager has read the links already; nil: the links alone do it.
	bootStart, bootStop []string
	links               bool // boot links are what starts it at boot
}

// managers are the init systems of facts.Snapshot.Init: systemctl(1), rc-service(8), svcadm(1M), startsrc and stopsrc (AIX), service(8) of
// FreeBSD, HP-UX's /sbin/init.d, and start scripts elsewhere.
func managers() map[string]manager {
	script := manager{start: []string{"PATH", "start"}, stop: []string{"PATH", "stop"}, links: true}
	return map[string]manager{
		"systemd": {
			start: []string{"systemctl", "start", "NAME"}, stop: []string{"systemctl", "stop", "NAME"}, links: true,
			changed: []string{"systemctl", "daemon-reload"},
			// What is queued to be started is stopped by the replacing of its job (systemctl(1), --job-mode).
			bootStart: []string{"systemctl", "--no-block", "start", "NAME"}, bootStop: []string{"systemctl", "--no-block", "stop", "NAME"},
		},
		"openrc": {start: []string{"rc-service", "NAME", "start"}, stop: []string{"rc-service", "NAME", "stop"}, links: true},
		"sysv":   script,
		"hpux":   script,
		"none":   script,
		"smf": {
			start: []string{"svcadm", "enable", "-s", "NAME"}, stop: []string{"svcadm", "disable", "-s", "NAME"},
			bootStart: []string{"svcadm", "enable", "NAME"}, bootStop: []string{"svcadm", "disable", "NAME"},
		},
		"src": {start: []string{"startsrc", "-s", "NAME"}, stop: []string{"stopsrc", "-s", "NAME"}},
		"bsd": {start: []string{"service", "NAME", "onestart"}, stop: []string{"service", "NAME", "onestop"}},
	}
}

// bootLink is a link that starts a service at boot, or masks it.
type bootLink struct {
	path   string
	come   bool // the run makes it; else the run moves it into its folder
	target string
}

func checkService(it backup.Item) error {
	s := it.Service
	if s == nil {
		return errors.New("a change of a service that is not named")
	}
	m, ok := managers()[s.Manager]
	if !ok {
		return fmt.Errorf("services of %q are not known", s.Manager)
	}
	if s.Name == "" || s.Name[0] == '-' || strings.ContainsRune(s.Name, 0) {
		return fmt.Errorf("%q is no service", s.Name)
	}
	if (s.Before.Masked || s.After.Masked) && s.Manager != "systemd" {
		return fmt.Errorf("%s masks no service", s.Manager)
	}
	ls := bootLinks(it)
	if !m.links && len(ls) > 0 {
		return fmt.Errorf("%s has no boot links", s.Manager)
	}
	for _, l := range ls {
		if !path.IsAbs(l.path) || path.Clean(l.path) != l.path || strings.ContainsRune(l.path, 0) {
			return fmt.Errorf("%q is no clean absolute path of a link", l.path)
		}
	}
	return nil
}

// bootLinks are the links that the change moves: first those that go.
func bootLinks(it backup.Item) []bootLink {
	s := it.Service
	if s == nil {
		return nil
	}
	var ls []bootLink
	for _, p := range s.Before.Links {
		if !slices.Contains(s.After.Links, p) {
			ls = append(ls, bootLink{path: p})
		}
	}
	for _, p := range s.After.Links {
		if !slices.Contains(s.Before.Links, p) {
			ls = append(ls, bootLink{path: p, come: true, target: linkTarget(s.Manager, p, it.Path)})
		}
	}
	mask := path.Join("/etc/systemd/system", s.Name)
	switch {
	case s.After.Masked && !s.Before.Masked:
		ls = append(ls, bootLink{path: mask, come: true, target: "/dev/null"})
	case s.Before.Masked && !s.After.Masked:
		ls = append(ls, bootLink{path: mask})
	}
	return ls
}

// linkTarget is what a new boot link says: systemctl writes the unit's path, rc links are relative.
func linkTarget(manager, link, script string) string {
	if manager != "systemd" {
		if rel, err := filepath.Rel(path.Dir(link), script); err == nil {
			return rel
		}
	}
	return script
}

// links returns the function that goes through an item's boot links.
func links(m backup.Manifest) string {
	var b strings.Builder
	b.WriteString("mh_links() {\ncase $item in\n")
	for i, it := range m.Items {
		ls := bootLinks(it)
		if len(ls) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d)\n", i+1)
		for k, l := range ls {
			what := "gone"
			if l.come {
				what = "come"
			}
			fmt.Fprintf(&b, "\"$1\" %d %s %s %s || return 1\n", k+1, what, remote.Quote(l.path), remote.Quote(l.target))
		}
		b.WriteString(";;\n")
	}
	b.WriteString("esac\nreturn 0\n}\n")
	return b.String()
}

// services returns the functions that start and stop an item's service, and that tell its manager of moved links.
func services(m backup.Manifest) string {
	var act, tell, differ strings.Builder
	for i, it := range m.Items {
		if itemDiffers(it) {
			fmt.Fprintf(&differ, "%d) return 0 ;;\n", i+1)
		}
		if it.Kind != plan.Unit {
			continue
		}
		man := managers()[it.Service.Manager]
		fmt.Fprintf(&act, "%d.start) %s ;;\n%d.stop) %s ;;\n", i+1, serviceCommand(man.start, it), i+1, serviceCommand(man.stop, it))
		if man.bootStart != nil {
			fmt.Fprintf(&act, "%d.boot.start) %s ;;\n%d.boot.stop) %s ;;\n", i+1, serviceCommand(man.bootStart, it), i+1, serviceCommand(man.bootStop, it))
		}
		if man.changed != nil && len(bootLinks(it)) > 0 {
			fmt.Fprintf(&tell, "%d) %s ;;\n", i+1, serviceCommand(man.changed, it))
		}
	}
	return "mh_svc() {\nmh_input=\nmh_n=$1\n[ -z \"${mh_boot:-}\" ] || mh_n=boot.$1\ncase $item.$mh_n in\n" + act.String() + "esac\n}\n" +
		"mh_svc_reload() {\nmh_input=\ncase $item in\n" + tell.String() + "esac\n}\n" +
		"mh_differs() {\ncase $item in\n" + differ.String() + "esac\nreturn 1\n}\n"
}

func serviceCommand(words []string, it backup.Item) string {
	var out []string
	for _, w := range words {
		switch w {
		case "NAME":
			w = it.Service.Name
		case "PATH":
			w = it.Path
		}
		out = append(out, remote.Quote(w))
	}
	return "mh_limit " + strings.Join(out, " ")
}
