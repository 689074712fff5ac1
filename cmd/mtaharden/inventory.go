package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
)

func newInventoryCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "inventory",
		Short: "Show which hosts there are, and whether they can be reached",
		Args:  unknownCommand,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },

		SuggestionsMinimumDistance: 2,
	}
	c.AddCommand(newInventoryListCommand(), newInventoryCheckCommand(), newInventoryImportCommand())
	return c
}

func newInventoryListCommand() *cobra.Command {
	r := &reach{forks: 1, lang: "en", passwordFD: -1, becomeFD: -1}
	c := &cobra.Command{
		Use:   "list -i FILE",
		Short: "Show what would be touched and how, without any connection",
		Long: `list reads the inventory, and shows every host that would be audited, how it would
be reached, what is intended for it, and the waivers that name it. It connects to
nothing. What the inventory leaves open, ssh_config fills in, as ssh -G says it. With
-v it shows each value and where it is written.`,
		Args: exactArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			inv, hosts, err := r.needed(c, "text", "json")
			if err != nil {
				return err
			}
			d := &dialer{reach: r, trace: func(string) func(string) { return nil }}
			if d.config, err = r.openSSHConfig(c.ErrOrStderr()); err != nil {
				return err
			}
			d.prepare(c.Context(), hosts)
			return d.listInventory(c.Context(), c.OutOrStdout(), inv, hosts, time.Now())
		},
	}
	f := c.Flags()
	f.StringArrayVarP(&r.inventory, "inventory", "i", nil, "inventory `FILE` or directory (may be repeated)")
	f.StringArrayVar(&r.limit, "limit", nil, "only these hosts: `PATTERN` as group, a:&b:!c, glob, @file")
	f.StringVar(&r.format, "format", "text", "text or json")
	f.StringVarP(&r.sshConfig, "ssh-config", "F", "", "read `FILE` in place of the user's and the system's ssh_config; none reads none")
	f.CountVarP(&r.verbose, "verbose", "v", "show where each value is written")
	return c
}

// needed is check and load for a command that is nothing without an inventory, and writes these formats.
func (r *reach) needed(c *cobra.Command, formats ...string) (*inventory.Inventory, []*inventory.Host, error) {
	if err := oneOf("--format", r.format, formats); err != nil {
		return nil, nil, usageError(c, err)
	}
	if len(r.inventory) == 0 {
		return nil, nil, usageError(c, fmt.Errorf("%s needs an inventory (-i FILE)", c.Name()))
	}
	if err := r.check(c); err != nil {
		return nil, nil, err
	}
	return r.load()
}

// listedHost is one host as list shows it: what the inventory says, and with it what becomes of the unsaid.
type listedHost struct {
	*inventory.Host
	Endpoint string             `json:"endpoint"` // ADDRESS:PORT to connect to
	Login    string             `json:"login"`
	Via      []string           `json:"via,omitempty"` // the hosts it is reached through, the nearest first
	Waivers  []listedWaiver     `json:"waivers,omitempty"`
	Values   []inventory.Value  `json:"values,omitempty"`
	Named    []inventory.Origin `json:"named,omitempty"` // with -v: where the host itself is first named
}

type listedWaiver struct {
	inventory.Waiver
	Until   string `json:"expires"` // its last day, YYYY-MM-DD
	Expired bool   `json:"expired,omitempty"`
}

type listing struct {
	Schema        string       `json:"schema"`
	Files         []string     `json:"files"`
	Digest        string       `json:"digest"`
	Vantages      []string     `json:"vantages,omitempty"`
	Hosts         []listedHost `json:"hosts"`
	PassedThrough []listedHost `json:"passed_through,omitempty"` // vantages and jump hosts: not audited
}

func (d *dialer) listInventory(ctx context.Context, w io.Writer, inv *inventory.Inventory, hosts []*inventory.Host, now time.Time) error {
	origins := d.reach.verbose > 0
	l := listing{Schema: "mtaharden-inventory/1", Files: inv.Files, Digest: inv.Digest, Vantages: inv.Vantages, Hosts: []listedHost{}}
	add := func(hosts []*inventory.Host, to *[]listedHost) error {
		for _, h := range hosts {
			one, err := d.newListed(ctx, inv, h, origins, now)
			if err != nil {
				return badInput(err)
			}
			*to = append(*to, one)
		}
		return nil
	}
	if err := add(hosts, &l.Hosts); err != nil {
		return err
	}
	if err := add(inv.Passed(), &l.PassedThrough); err != nil {
		return err
	}
	if d.reach.format == "json" {
		return encodeJSON(w, l)
	}
	return l.text(w, origins)
}

func encodeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (d *dialer) newListed(ctx context.Context, inv *inventory.Inventory, h *inventory.Host, origins bool, now time.Time) (listedHost, error) {
	s, err := d.settings(ctx, h)
	if err != nil {
		return listedHost{}, fmt.Errorf("%s: %w", h.Name, err)
	}
	t, err := d.own(h, s, meant)
	if err != nil {
		return listedHost{}, fmt.Errorf("%s: %w", h.Name, err)
	}
	l := listedHost{Host: h, Endpoint: endpoint(h, s), Login: t.User}
	for _, hop := range d.hops(h, s) {
		l.Via = append(l.Via, hop.Name)
	}
	for _, w := range inv.WaiversFor(h.Name) {
		l.Waivers = append(l.Waivers, listedWaiver{w, w.Expires.Format(time.DateOnly), w.Expired(now)})
	}
	if origins {
		l.Values, l.Named = effectiveValues(h, s, t), []inventory.Origin{h.Origin[""]}
	}
	return l, nil
}

func (l *listing) text(w io.Writer, origins bool) error {
	t := table{{"HOST", "ADDRESS", "USER", "BECOME", "VIA", "GROUPS", "ROLE", "PLAYBOOKS", "RELAY NETWORKS", "WINDOW"}}
	for _, h := range l.Hosts {
		t = append(t, h.row())
	}
	var b strings.Builder
	if origins {
		for _, h := range l.Hosts {
			h.values(&b)
		}
	} else {
		t.write(&b)
		for _, h := range l.Hosts {
			h.waivers(&b, h.Name+": ")
		}
	}
	for _, h := range l.PassedThrough {
		fmt.Fprintf(&b, "not audited, passed through only: %s (%s@%s)\n", h.Name, h.Login, h.Endpoint)
	}
	if len(l.Vantages) > 0 {
		fmt.Fprintf(&b, "vantages: %s\n", strings.Join(l.Vantages, ", "))
	}
	fmt.Fprintf(&b, "%d %s from %s\n", len(l.Hosts), plural(len(l.Hosts), "host"), strings.Join(l.Files, ", "))
	_, err := io.WriteString(w, b.String())
	return err
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// Nothing here needs cleaning for a terminal: the inventory's room refuses control characters in values.

// row is the host's line of the table; "-" is unsaid.
func (h listedHost) row() []string {
	relay := "-"
	if h.RelayNetworks != nil {
		relay = "none"
		if words := h.said("relay_networks"); words != "" {
			relay = words
		}
	}
	window := ""
	if h.Window != nil {
		window = h.Window.String()
	}
	row := []string{
		h.Name, h.Endpoint, h.Login, h.Become, strings.Join(h.Via, ","), strings.Join(h.Host.Groups, ","), h.Role,
		cmp.Or(strings.Join(h.Playbooks, ","), "baseline"), relay, window,
	}
	for i := range row {
		row[i] = cmp.Or(row[i], "-")
	}
	return row
}

func (h listedHost) said(key string) string {
	for _, v := range h.Host.Values() {
		if v.Key == key {
			return v.Text
		}
	}
	return ""
}

// values writes one host with the place of each value.
func (h listedHost) values(b *strings.Builder) {
	fmt.Fprintf(b, "%s  %s\n", h.Name, at(h.Named[0]))
	fmt.Fprintf(b, "  reached at %s as %s\n", h.Endpoint, h.Login)
	if len(h.Host.Groups) > 0 {
		fmt.Fprintf(b, "  in the groups %s\n", strings.Join(h.Host.Groups, ", "))
	}
	t := table{}
	for _, v := range h.Values {
		row := []string{"  " + v.Key, cmp.Or(v.Text, "(none)"), v.Origin.From}
		if where := at(v.Origin); where != "" {
			row = append(row, where)
		}
		if len(v.Text) > 40 {
			row = []string{row[0], strings.Join(row[1:], "  ")}
		}
		t = append(t, row)
	}
	t.write(b)
	h.waivers(b, "  ")
	b.WriteString("\n")
}

func (h listedHost) waivers(b *strings.Builder, head string) {
	for _, w := range h.Waivers {
		until := "waived until " + w.Until
		if w.Expired {
			until = "waiver EXPIRED on " + w.Until
		}
		fmt.Fprintf(b, "%s%s %s: %s  %s:%d\n", head, w.Rule, until, w.Reason, w.File, w.Line)
	}
}

func at(o inventory.Origin) string {
	if o.File == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", o.File, o.Line)
}
