package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"mtaharden/playbooks"
)

// Schema names the shape of a plan file.
const Schema = "mtaharden-plan/1"

// Lifetime is how long after its making a plan may be applied.
const Lifetime = 7 * 24 * time.Hour

// Plan is a saved plan: what would be changed on which host, and what must hold before and after. It holds no secret and no whole file
// but those it creates; how hosts are reached comes from the inventory when it is applied.
type Plan struct {
	Schema          string    `json:"schema"`
	Program         string    `json:"program"` // the version of the program that made it
	Made            time.Time `json:"made"`
	Expires         time.Time `json:"expires"`
	Playbooks       []string  `json:"playbooks"`
	Inventory       string    `json:"inventory,omitempty"`
	InventoryDigest string    `json:"inventory_digest,omitempty"`
	User            string    `json:"user,omitempty"` // who made it, and on which machine
	Controller      string    `json:"controller,omitempty"`
	Ticket          string    `json:"ticket,omitempty"`
	Note            string    `json:"note,omitempty"`
	// RuleSets are the resolved rules that hosts are judged by, each under its digest: hosts may have different playbooks.
	RuleSets map[string][]playbooks.Rule `json:"rule_sets"`
	Hosts    []HostPlan                  `json:"hosts"`
}

// HostPlan is the plan of one host.
type HostPlan struct {
	Name     string        `json:"name"`
	Intent   Intent        `json:"intent"`
	RuleSet  string        `json:"rule_set"` // a key of Plan.RuleSets
	Installs []Install     `json:"installs"`
	Changes  []Change      `json:"changes"`
	Commands []Commands    `json:"commands"`
	Expect   []Expectation `json:"expect"`
	Impact   []Impact      `json:"impact"`
}

// Expectation is what a rule must come to once the plan is carried out.
type Expectation struct {
	Rule     string `json:"rule"`
	Install  int    `json:"install"`
	Listener string `json:"listener,omitempty"`
	Before   Status `json:"before"`
	After    Status `json:"after"`
	Proof    Proof  `json:"proof,omitempty"`
}

// Add adds a judged host. The rules and the intent are those that it was judged by.
func (p *Plan) Add(name string, r *Result, intent Intent, rules []playbooks.Rule) error {
	digest, err := rulesDigest(rules)
	if err != nil {
		return err
	}
	if p.RuleSets == nil {
		p.RuleSets = map[string][]playbooks.Rule{}
	}
	p.RuleSets[digest] = rules
	h := HostPlan{
		Name: name, Intent: intent, RuleSet: digest, Installs: orEmpty(r.Installs), Changes: orEmpty(r.Changes),
		Commands: orEmpty(r.Commands), Expect: []Expectation{}, Impact: orEmpty(r.Impact),
	}
	for _, f := range r.Findings {
		e := Expectation{Rule: f.Rule, Install: f.Install, Listener: f.Listener, Before: f.Status, After: f.Status, Proof: f.Proof}
		if f.Fixable {
			e.After = Pass
		}
		h.Expect = append(h.Expect, e)
	}
	p.Hosts = append(p.Hosts, h)
	return nil
}

func orEmpty[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

// Encode fills in the schema and the expiry, and returns the file's bytes with their short digest, by which a person
// can tell whether what is applied is what was reviewed.
func (p *Plan) Encode() (data []byte, digest string, err error) {
	p.Schema = Schema
	if p.Expires.IsZero() {
		p.Expires = p.Made.Add(Lifetime)
	}
	p.Playbooks, p.Hosts = orEmpty(p.Playbooks), orEmpty(p.Hosts)
	if err := p.check(); err != nil {
		return nil, "", fmt.Errorf("cannot write plan: %w", err)
	}
	data, err = json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("cannot write plan: %w", err)
	}
	data = append(data, '\n')
	return data, Digest(data), nil
}

func rulesDigest(rules []playbooks.Rule) (string, error) {
	data, err := json.Marshal(rules)
	if err != nil {
		return "", fmt.Errorf("cannot hash the rules: %w", err)
	}
	return hash(data), nil
}

// Digest is the short name of a plan file: the first 12 hex digits of its sha256.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// FileError is a mistake in a plan file.
type FileError struct {
	File      string
	Line, Col int // from 1; 0 where the mistake has no one place
	Err       error
}

func (e *FileError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("cannot read plan %s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("cannot read plan %s:%d:%d: %v", e.File, e.Line, e.Col, e.Err)
}

func (e *FileError) Unwrap() error { return e.Err }

// ErrExpired: the plan is older than its lifetime.
var ErrExpired = errors.New("the plan has expired: make it anew")

// maxPlan bounds a plan file: a thousand hosts with some hundred kilobytes each.
const maxPlan = 512 << 20

// Read reads a plan file's bytes strictly: an unknown field, a wrong type, something after the end, a rule list that was changed by hand, or a
// change that cannot be carried out is a *FileError with line and column. The caller compares Expires with its clock (Expired).
func Read(file string, data []byte) (*Plan, error) {
	if len(data) > maxPlan {
		return nil, &FileError{File: file, Err: fmt.Errorf("it is larger than %d bytes", maxPlan)}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var p Plan
	if err := d.Decode(&p); err != nil {
		return nil, placeOf(file, data, d.InputOffset(), err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, placeOf(file, data, d.InputOffset(), errors.New("something follows the end of the plan"))
	}
	if err := p.check(); err != nil {
		return nil, &FileError{File: file, Err: err}
	}
	return &p, nil
}

func placeOf(file string, data []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var mistyped *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset - 1 // the offset is behind the character that is wrong
	case errors.As(err, &mistyped):
		offset = mistyped.Offset
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		offset = int64(len(data))
		err = errors.New("it ends too early")
	default:
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			if i := bytes.Index(data, []byte(name)); i >= 0 {
				offset = int64(i)
			}
			err = fmt.Errorf("unknown field %s", name)
		}
	}
	offset = min(max(offset, 0), int64(len(data)))
	before := data[:offset]
	line := bytes.Count(before, []byte("\n")) + 1
	return &FileError{File: file, Line: line, Col: len(before) - bytes.LastIndexByte(before, '\n'), Err: err}
}

// Expired is ErrExpired where the plan's time is over at now.
func (p *Plan) Expired(now time.Time) error {
	if now.After(p.Expires) {
		return fmt.Errorf("%w (made %s, good until %s)", ErrExpired, p.Made.Format(time.RFC3339), p.Expires.Format(time.RFC3339))
	}
	return nil
}

// check refuses a plan that cannot be carried out as it stands.
func (p *Plan) check() error {
	if p.Schema != Schema {
		return fmt.Errorf("its schema is %q, this program reads %q", p.Schema, Schema)
	}
	if p.Made.IsZero() || !p.Expires.After(p.Made) || p.Expires.Sub(p.Made) > Lifetime {
		return fmt.Errorf("it must expire within %s of its making", Lifetime)
	}
	for key, rules := range p.RuleSets {
		if digest, err := rulesDigest(rules); err != nil || digest != key {
			return fmt.Errorf("its rules are not those of their digest %q", key)
		}
	}
	seen := map[string]bool{}
	for _, h := range p.Hosts {
		if _, ok := p.RuleSets[h.RuleSet]; !ok {
			return fmt.Errorf("host %s: no rule set %q", h.Name, h.RuleSet)
		}
		if h.Name == "" || seen[h.Name] {
			return fmt.Errorf("host %q is empty or there twice", h.Name)
		}
		seen[h.Name] = true
		for _, c := range h.Changes {
			if err := c.check(len(h.Installs)); err != nil {
				return fmt.Errorf("host %s: change of %q: %w", h.Name, c.Path, err)
			}
		}
		for _, c := range h.Commands {
			for _, cmd := range slices.Concat(c.Regenerate, c.Validate, c.Reload, c.Stage.commands()) {
				if len(cmd.Argv) == 0 || cmd.Argv[0] == "" {
					return fmt.Errorf("host %s: an empty command", h.Name)
				}
			}
			for _, name := range c.Stage.paths() {
				if !cleanPath(name) {
					return fmt.Errorf("host %s: the stage's path %q is not a clean absolute one", h.Name, name)
				}
			}
		}
	}
	return nil
}

func cleanPath(name string) bool {
	return path.IsAbs(name) && path.Clean(name) == name && !strings.ContainsRune(name, 0)
}

func (c Change) check(installs int) error {
	if !cleanPath(c.Path) {
		return errors.New("the path is not a clean absolute one")
	}
	if c.Install < 0 || c.Install >= installs {
		return fmt.Errorf("install %d is not in the list", c.Install)
	}
	switch c.Kind {
	case EditFile:
		if len(c.Edits) == 0 {
			return errors.New("an edit without edits")
		}
		return checkEdits(c.Edits)
	case ModeChange:
		if c.Before == nil || c.After == nil || !isOctal(c.Before.Mode) || !isOctal(c.After.Mode) {
			return errors.New("a mode change needs before and after")
		}
	case Unit:
		return c.Service.check()
	case CreateFile, DeleteFile, Generated:
	default:
		return fmt.Errorf("unknown kind %q", c.Kind)
	}
	return nil
}

func (s *Service) check() error {
	if s == nil || s.Name == "" || s.Name[0] == '-' || strings.ContainsAny(s.Name, "/\x00\n") {
		return errors.New("a service change needs the service's name")
	}
	if s.Manager != "systemd" && s.Manager != "sysv" && s.Manager != "openrc" {
		return fmt.Errorf("a service of %q cannot be changed", s.Manager)
	}
	for _, l := range append(slices.Clone(s.Before.Links), s.After.Links...) {
		if !path.IsAbs(l) || path.Clean(l) != l || strings.ContainsRune(l, 0) {
			return fmt.Errorf("boot link %q is not a clean absolute path", l)
		}
	}
	return nil
}

func checkEdits(edits []Edit) error {
	at := 0
	for _, e := range edits {
		if e.Start < at || e.End < e.Start {
			return fmt.Errorf("edit of bytes %d to %d is out of order", e.Start, e.End)
		}
		if len(e.OldHash) != 2*sha256.Size {
			return fmt.Errorf("edit of bytes %d to %d has no hash of what it replaces", e.Start, e.End)
		}
		at = e.End
	}
	return nil
}

func isOctal(s string) bool {
	return len(s) == 4 && strings.Trim(s, "01234567") == ""
}
