package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mtaharden/remediate/remote/remotetest"
)

// canary is a secret that must never leave its host. It is in no other file of this project's tests.
const canary = "K4narienv0gel77"

// pem is a key whose body is the canary.
const pem = "-----BEGIN PRIVATE KEY-----\n" + canary + "AAAA\n-----END PRIVATE KEY-----\n"

// hidden says, by host, where an administrator keeps secrets.
var hidden = map[string]map[string]string{
	"deb13-postfix": {
		"etc/postfix/sasl_passwd": "relay.example.com user:" + canary + "\n",
		"etc/postfix/virtual.sql": "user = mail\npassword = " + canary + "\nhosts = 127.0.0.1\ndbname = mail\nquery = SELECT 1\n",
		"etc/postfix/users.ldap":  "server_host = 127.0.0.1\nbind_pw = " + canary + "\n",
		"etc/postfix/tls.key":     pem,
		"plant.sh": `postconf -e 'smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd' 'virtual_alias_maps = mysql:/etc/postfix/virtual.sql ldap:/etc/postfix/users.ldap'
postconf -e 'smtpd_tls_key_file = /etc/postfix/tls.key'
postmap hash:/etc/postfix/sasl_passwd
`,
	},
	"deb13-sendmail": {
		"etc/mail/authinfo":          "AuthInfo:relay.example.com \"U:user\" \"P:" + canary + "\"\n",
		"etc/mail/default-auth-info": "user\nuser\n" + canary + "\nexample.com\n",
		"etc/mail/tls/own.key":       pem,
		"plant.sh": `printf 'AuthInfo:smtp.example.com\t"U:user" "I:user" "P:` + canary + `" "M:PLAIN"\n' >>/etc/mail/access
cd /etc/mail
sed -i '/^MAILER_DEFINITIONS/i define(` + "`confDEF_AUTH_INFO'\"'\"', `/etc/mail/default-auth-info'\"'\"'" + `)dnl\nFEATURE(` + "`authinfo'\"'\"', `hash /etc/mail/authinfo'\"'\"'" + `)dnl' sendmail.mc
`,
	},
	"deb13-exim": {
		"etc/exim4/passwd.client": "relay.example.com:user:" + canary + "\n",
		"etc/exim4/passwd":        "user:" + canary + "\n",
		"etc/exim4/tls.key":       pem,
		"etc/exim4/exim4.conf": `primary_hostname = deb13-exim.lab.test
hide mysql_servers = localhost/db/user/` + canary + `
tls_privatekey = /etc/exim4/tls.key
acl_smtp_rcpt = check
begin acl
check:
  accept hosts = :
  deny message = relay not permitted
begin routers
out:
  driver = dnslookup
  transport = remote
begin transports
remote:
  driver = smtp
  dkim_domain = example.com
  dkim_selector = a
  dkim_private_key = ` + canary + `
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{user}}{eq{$auth3}{` + canary + `}}}}
login:
  driver = plaintext
  public_name = LOGIN
  client_send = : user : ` + canary + `
`,
	},
}

// TestLabSecrets plants a secret in every place known to hold one and looks for it in everything that the program prints and writes.
func TestLabSecrets(t *testing.T) {
	l := needLab(t)
	t.Parallel()
	for host, files := range hidden {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			remotetest.Alone(t, host)
			plant(t, l, host, files)
			dir := t.TempDir()
			state := filepath.Join(dir, "state")
			reach := []string{"-i", l.inventory, "--limit", host, "--state", state, "--batch", "-vv"}
			runs := [][]string{
				{"collect", "-o", filepath.Join(dir, "snaps")},
				{"audit", "--format", "json"}, {"audit"}, {"audit", "--format", "csv"}, {"audit", "--format", "jsonl"},
				{"plan", "-o", filepath.Join(dir, "plan.json")},
			}
			for _, args := range runs {
				code, out, stderr := mtaharden(append(args, reach...)...)
				if code != 0 && code != exitFound {
					t.Errorf("%v ended with %d: %s", args, code, stderr)
				}
				if bytes.Contains([]byte(out+stderr), []byte(canary)) {
					t.Errorf("%v prints the secret", args)
				}
			}
			files, most := grep(t, dir)
			if files < 2 || most < 10_000 {
				t.Errorf("only %d files of at most %d bytes were written: this looked at nothing", files, most)
			}
		})
	}
}

func plant(t *testing.T, l lab, host string, files map[string]string) {
	t.Helper()
	tree := t.TempDir()
	for name, text := range files {
		file := filepath.Join(tree, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command(l.program, "plant", host, tree).CombinedOutput(); err != nil {
		t.Fatalf("cannot plant %s: %v\n%s", host, err, out)
	}
	t.Cleanup(func() { l.putBack(t, host) })
}

// putBack puts a host back to its image.
func (l lab) putBack(t *testing.T, host string) {
	t.Helper()
	if out, err := exec.Command(l.program, "plant", host, t.TempDir()).CombinedOutput(); err != nil {
		t.Errorf("cannot put %s back: %v\n%s", host, err, out)
	}
}

// grep looks for the canary in every file below dir, and returns how many there are and the size of the largest.
func grep(t *testing.T, dir string) (files, most int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		files, most = files+1, max(most, len(data))
		if bytes.Contains(data, []byte(canary)) {
			at := bytes.Index(data, []byte(canary))
			t.Errorf("%s holds the secret: …%q…", name, data[max(0, at-80):at])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files, most
}
