package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/mta/all"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/report"
)

func newInventoryCheckCommand() *cobra.Command {
	r := &reach{}
	c := &cobra.Command{
		Use:   "check -i FILE",
		Short: "Connect to every host, and say how far that gets",
		Long: `check connects to every host and says of each: whether it is reached, whether its
host key is known, whether the login works, whether root is had, and which MTA is
found. It runs the audit's own collector, which changes nothing. It ends with 0
where everything is fine, 3 where a host was not read to the end, and 4 where one is
unreachable, or its key, the login or the privilege is not right.`,
		Args: exactArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			_, hosts, err := r.needed(c, formats...)
			if err != nil {
				return err
			}
			return r.checkHosts(c, hosts)
		},
	}
	r.register(c.Flags(), "write the result to `FILE`")
	return c
}

func (r *reach) checkHosts(c *cobra.Command, hosts []*inventory.Host) error {
	out, err := openReport(c.OutOrStdout(), r.output)
	if err != nil {
		return err
	}
	defer out.discard()
	d, err := newDialer(c, r)
	if err != nil {
		return err
	}
	d.unlock(c.Context(), hosts)
	found := checkAll(c, d, all.Drivers(), hosts)
	if err := r.writeFound(out, found); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	if code := checkExit(found); code != 0 {
		return &status{code: code}
	}
	return nil
}

func (r *reach) writeFound(w io.Writer, found []checked) error {
	switch r.format {
	case "json":
		return encodeJSON(w, checkReport{checkSchema, found})
	case "jsonl":
		return checkLines(w, found)
	case "csv":
		return checkCSV(w, found)
	}
	return writeChecks(w, found)
}

// checkLines writes a line of JSON a host, each with the schema's name.
func checkLines(w io.Writer, found []checked) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, c := range found {
		if err := e.Encode(struct {
			Schema string `json:"schema"`
			checked
		}{checkSchema, c}); err != nil {
			return err
		}
	}
	return nil
}

// checkCSV writes a row a host. No cell begins as a spreadsheet's formula does: each is a name or an address, or begins with this program's own
// words.
func checkCSV(w io.Writer, found []checked) error {
	rows := [][]string{{"host", "address", "state", "reached", "key_known", "login", "privilege", "mta", "host_key", "error"}}
	for _, c := range found {
		rows = append(rows, []string{c.Name, c.Address, string(c.State), c.Reached, c.Key, c.Login, c.Privilege, strings.Join(c.MTA, ", "), c.HostKey, c.Error})
	}
	return csv.NewWriter(w).WriteAll(rows)
}

// checkAll reaches and reads the hosts, --forks at a time; what it returns is in their order.
func checkAll(c *cobra.Command, d *dialer, drivers []*mta.Driver, hosts []*inventory.Host) []checked {
	place := make(map[string]int, len(hosts))
	conf := remediate.Config{Drivers: drivers, Forks: d.reach.forks, Breaker: d.reach.breaker, Now: time.Now}
	for i, h := range hosts {
		place[h.Name] = i
		t := remediate.Target{
			Name:      h.Name,
			Address:   endpoint(h, d.known(c.Context(), h)),
			Dial:      func(ctx context.Context) (remote.Host, error) { return d.dial(ctx, h) },
			Installed: h.CollectCommand,
		}
		t.Login, t.Root = d.credentials(c.Context(), h)
		conf.Targets = append(conf.Targets, d.reach.breaker.Guard(t))
	}
	found := make([]checked, len(hosts))
	p := newProgress(c.ErrOrStderr(), len(hosts))
	remediate.CollectAll(c.Context(), conf, func(o remediate.Outcome) {
		one := newChecked(o, drivers)
		found[place[one.Name]] = one
		p.done(one.Name, one.State, "", o.Took) // the causes stand below the table
	})
	return found
}

const checkSchema = "mtaharden-check/1"

type checkReport struct {
	Schema string    `json:"schema"`
	Hosts  []checked `json:"hosts"`
}

// checked says how far reaching one host got. Each step is "yes", "no", or "-" where it was not come to.
type checked struct {
	Name      string       `json:"name"`
	Address   string       `json:"address"` // ADDRESS:PORT
	State     report.State `json:"state"`
	Reached   string       `json:"reached"`
	Key       string       `json:"key_known"`
	Login     string       `json:"login"`
	Privilege string       `json:"privilege"`          // root, or "no"; "not asked for" where become is none and the login is not root's
	MTA       []string     `json:"mta"`                // "NAME VERSION", null where it was not come to
	HostKey   string       `json:"host_key,omitempty"` // type and SHA256 fingerprint
	Error     string       `json:"error,omitempty"`
}

// newChecked is an outcome in the words of a check.
func newChecked(o remediate.Outcome, drivers []*mta.Driver) checked {
	c := checked{Name: o.Target.Name, Address: o.Target.Address, State: stateOf(o.Err), Reached: "-", Key: "-", Login: "-", Privilege: "-"}
	if o.Err != nil {
		c.Error = facts.Printable(o.Err.Error())
	}
	if o.Transport.Name == "" {
		c.refused(o.Err)
		return c
	}
	c.Reached, c.Key, c.Login, c.HostKey = "yes", "yes", "yes", o.Transport.HostKey
	if errors.Is(o.Err, remote.ErrPrivilege) {
		c.Privilege = "no"
	}
	if o.Err == nil {
		c.read(o, drivers)
	} else if c.State == report.Unreachable {
		c.State = report.Incomplete // it was reached: the link was lost
	}
	return c
}

// refused notes a host that did not let us in: each error names the step that failed, and those before it went well.
func (c *checked) refused(err error) {
	switch {
	case errors.Is(err, remote.ErrHostKey):
		c.Reached, c.Key = "yes", "no"
	case errors.Is(err, remote.ErrAuth):
		c.Reached, c.Key, c.Login = "yes", "yes", "no"
	case errors.Is(err, remote.ErrUnreachable):
		c.Reached = "no"
	}
}

// read notes what the collector saw.
func (c *checked) read(o remediate.Outcome, drivers []*mta.Driver) {
	switch {
	case o.Snapshot.Root:
		c.Privilege = "root"
	case o.Transport.Become == "":
		c.Privilege = "not asked for"
	default:
		c.Privilege, c.State = "no", report.NoPrivilege
		c.Error = o.Transport.Become + " did not give root"
	}
	c.MTA = []string{}
	for _, d := range drivers {
		for _, in := range d.Detect(o.Snapshot) {
			words := []string{in.MTA, in.Version}
			if in.Instance != "" {
				words = append(words, "("+in.Instance+")")
			}
			if !in.Active && o.Snapshot.Root { // without root it may run unseen
				words = append(words, "not running")
			}
			c.MTA = append(c.MTA, facts.Printable(strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")))
		}
	}
}

// checkExit is the highest exit status that a host's state asks for.
func checkExit(found []checked) int {
	code := 0
	for _, c := range found {
		switch c.State {
		case report.OK:
		case report.Incomplete, report.Failed:
			code = max(code, exitIncomplete)
		default:
			code = max(code, exitUnreachable)
		}
	}
	return code
}

func (c checked) mta() string {
	switch {
	case c.MTA == nil:
		return "-"
	case len(c.MTA) == 0:
		return "none"
	}
	return strings.Join(c.MTA, ", ")
}

func writeChecks(w io.Writer, found []checked) error {
	t := table{{"HOST", "ADDRESS", "REACHED", "KEY KNOWN", "LOGIN", "PRIVILEGE", "MTA"}}
	var causes strings.Builder
	states := map[report.State]int{}
	for _, c := range found {
		states[c.State]++
		t = append(t, []string{c.Name, c.Address, c.Reached, c.Key, c.Login, c.Privilege, c.mta()})
		if c.Error != "" {
			fmt.Fprintf(&causes, "%s: %s\n", c.Name, c.Error)
		}
	}
	var b strings.Builder
	t.write(&b)
	b.WriteString(causes.String())
	for _, h := range checkHints {
		if states[h.state] > 0 {
			fmt.Fprintf(&b, "hint: %s\n", h.text)
		}
	}
	fmt.Fprintf(&b, "%d of %d hosts are fine\n", states[report.OK], len(found))
	_, err := io.WriteString(w, b.String())
	return err
}

// checkHints say what a person can do about a state, once for all hosts in it.
var checkHints = []struct {
	state report.State
	text  string
}{
	{report.HostKey, "compare the key with the one on the host's console before you put it in known_hosts; --accept-new takes keys that no file names, never a changed one"},
	{report.AuthFailed, "see user and identity in the inventory (inventory list -v), the agent, or --ask-password and --password-fd"},
	{report.NoPrivilege, `set become (sudo, doas, su) or become_command for the host; give its password with --ask-become-password, --become-password-fd or become_password_file`},
}
