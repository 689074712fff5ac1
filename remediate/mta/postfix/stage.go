package postfix

import (
	"path"
	"slices"
	"strings"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

type compiledType struct {
	kind string
	ends []string
}

// compiled are the types of tables that postmap(1) builds, with the endings of their files (DATABASE_README).
var compiled = []compiledType{
	{"hash", []string{".db"}}, {"btree", []string{".db"}}, {"lmdb", []string{".lmdb"}}, {"cdb", []string{".cdb"}},
	{"dbm", []string{".pag", ".dir"}}, {"sdbm", []string{".pag", ".dir"}},
}

// staging says what a candidate of this instance needs: an empty queue with the chroot's own files and the sockets of an authentication
// service, an empty data directory and mail store. In the stage alone every smtpd takes XCLIENT, so that it can be asked as any client.
func staging(_ *facts.Snapshot, c *mta.Config, paths []string) mta.Stage {
	m, ok := c.Model.(*model)
	if !ok {
		return mta.Stage{}
	}
	out := mta.Stage{Copies: []string{m.dir}, Generated: m.made(paths)}
	queue := m.value("queue_directory", nil)
	for _, f := range []mta.Fresh{
		{Path: queue, Keep: []string{"etc", "lib", "lib64", "usr", "dev"}, Sockets: m.loginSockets(queue)},
		{Path: m.value("data_directory", nil)},
		{Path: m.value("mail_spool_directory", nil)},
	} {
		if f.Path = path.Clean(f.Path); path.IsAbs(f.Path) && f.Path != "/" {
			out.Fresh = append(out.Fresh, f)
		}
	}
	if !c.Install.Active {
		return out
	}
	shell := func(script string) []remote.Cmd {
		return []remote.Cmd{{Argv: []string{"/bin/sh", "-c", script, "sh", m.dir}}}
	}
	out.Before, out.After = shell(openXclient), shell(closeXclient)
	out.Start = []remote.Cmd{{Argv: []string{"/bin/sh", "-c", startNew, "sh", m.dir, c.Install.Instance}}}
	out.Listens = len(c.Install.Listen) > 0
	return out
}

// openXclient adds to every smtpd of master.cf the right to name another client; closeXclient puts the file back as the candidate has it: the
// master that runs by then has read it. $1 is the configuration directory.
const openXclient = `cd "$1" && cp -p master.cf .mtaharden.master || exit 1
awk 'function out() { if (smtpd) print "  -o smtpd_authorized_xclient_hosts=0.0.0.0/0,[::]/0"; smtpd = 0 }
/^[^ \t#]/ { out(); smtpd = ($8 == "smtpd") }
{ print }
END { out() }' .mtaharden.master >master.cf`

const closeXclient = `cd "$1" && cat .mtaharden.master >master.cf && touch -r .mtaharden.master master.cf && rm -f .mtaharden.master`

// startNew starts the instance: first the copies of files that Debian keeps in the queue directory for its chroots. Debian 13's postfix-script hands a
// start over to systemd, which cannot be reached from the stage and would start the live one, unless INVOCATION_ID says that systemd is what
// starts it. $1 is the configuration directory, $2 the instance.
const startNew = `if [ -x /usr/lib/postfix/configure-instance.sh ]; then /usr/lib/postfix/configure-instance.sh "${2:--}" >/dev/null 2>&1 || :; fi
INVOCATION_ID=${INVOCATION_ID:-stage} exec postfix -c "$1" start </dev/null`

// made are the compiled tables of the changed sources, by the types that the configuration names them with.
func (m *model) made(paths []string) []mta.Made {
	var out []mta.Made
	for _, word := range m.namedWords() {
		kind, name, _ := strings.Cut(strings.TrimPrefix(word, "proxy:"), ":")
		i := slices.IndexFunc(compiled, func(t compiledType) bool { return t.kind == kind })
		source := m.resolved(name)
		if i < 0 || !slices.Contains(paths, source) {
			continue
		}
		for k, end := range compiled[i].ends {
			show := []string{"postmap", "-c", m.dir, "-s", kind + ":" + name}
			if k > 0 || kind == "cdb" { // whose reader knows no sequence, and the same text gives the same bytes
				show = []string{"cksum", name + end}
			}
			g := mta.Made{Path: m.resolved(name + end), Sources: []string{source}, Show: show}
			if !slices.ContainsFunc(out, func(o mta.Made) bool { return o.Path == g.Path }) {
				out = append(out, g)
			}
		}
	}
	return out
}

// resolved is where a collected file really is.
func (m *model) resolved(name string) string {
	if f, ok := m.snap.File(name); ok && f.Target != "" {
		return f.Target
	}
	return name
}

// namedWords are the words of both files, references resolved, as remap sees them.
func (m *model) namedWords() []string {
	split := func(r rune) bool { return strings.ContainsRune(" \t\n,={}", r) }
	var out []string
	add := func(text string) {
		if full, err := m.expand(text, nil); err == nil {
			text = full
		}
		out = append(out, strings.FieldsFunc(text, split)...)
	}
	for _, e := range m.main.entries {
		add(e.value)
	}
	for i := range m.master.services {
		for _, o := range m.master.services[i].overrides {
			add(o.value)
		}
	}
	return append(out, strings.FieldsFunc(m.value("alias_maps", nil)+" "+m.value("alias_database", nil), split)...)
}

// loginSockets are the sockets in the queue directory at which an authentication service of another program is asked what it offers.
func (m *model) loginSockets(queue string) []string {
	var out []string
	for i := range m.master.services {
		s := &m.master.services[i]
		if s.command != "smtpd" || m.value("smtpd_sasl_type", s) != "dovecot" || !m.yes("smtpd_sasl_auth_enable", s) {
			continue
		}
		name := strings.TrimPrefix(m.value("smtpd_sasl_path", s), "unix:")
		if strings.HasPrefix(name, "inet:") || name == "" {
			continue
		}
		if !path.IsAbs(name) {
			name = path.Join(queue, name)
		}
		if name = path.Clean(name); path.IsAbs(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}
