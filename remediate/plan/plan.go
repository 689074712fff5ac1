// Package plan judges a host as data: rules, configuration, answers and intent go in; findings, changes, commands and the mail that the
// changes would refuse come out. Nothing here reaches a host, reads a clock or writes a file.
package plan

import (
	"net/netip"
	"slices"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// Input is all that a judgement rests on.
type Input struct {
	Snapshot *facts.Snapshot
	Installs []Judged          // every installation that the drivers found, in their order
	Network  []judge.Answer    // what the network judge said; Question.Listener names the listener it spoke to
	Contacts []Contact         // what it met there
	Passed   map[string]string // listeners, as the host names them, that it did not speak to, and why
	Rules    []playbooks.Rule  // resolved
	Intent   Intent
	Now      time.Time
}

// Judged is one installation with what its driver made of it.
type Judged struct {
	Driver  *mta.Driver
	Install mta.Install
	Config  *mta.Config // nil where Err says that it could not be read
	Err     error
	Answers []judge.Answer
}

// Intent is what the inventory says a host is for. The zero value says nothing.
type Intent struct {
	Role          string         `json:"role,omitempty"` // mx, relay, submission, local-only, none
	RelayNetworks []netip.Prefix `json:"relay_networks,omitempty"`
	Waivers       []Waiver       `json:"waivers,omitempty"` // those that name this host
}

// Install is an installation as reports show it.
type Install struct {
	MTA      string    `json:"mta"`
	Instance string    `json:"instance,omitempty"`
	Version  string    `json:"version"`
	Package  string    `json:"package"`
	Program  string    `json:"program,omitempty"`
	Active   bool      `json:"active"`
	Listen   []string  `json:"listen"`
	Config   string    `json:"config"`
	Basis    mta.Basis `json:"basis,omitempty"`
	Panel    string    `json:"panel,omitempty"`
}

// OS is the host's operating system as reports show it.
type OS struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Kernel  string `json:"kernel"`
}

// Result is the judgement of one host.
type Result struct {
	OS       OS
	Installs []Install
	Findings []Finding
	Changes  []Change
	Commands []Commands // one for each installation that the changes concern
	Impact   []Impact
	Contacts []Contact // what the network judge met, as it was given
	Problems []string  // what could not be collected, for people
}

// New judges a host. It never fails: what cannot be judged is a finding of status unknown that says why.
func New(in Input) *Result {
	res := &Result{}
	if in.Snapshot == nil {
		in.Snapshot = &facts.Snapshot{}
	}
	s := in.Snapshot
	res.OS = OS{s.OS.ID, s.OS.Version, s.OS.Kernel}
	res.Problems, res.Contacts = s.Problems, in.Contacts
	ways := in.Rules
	in.Rules = slices.DeleteFunc(slices.Clone(in.Rules), playbooks.Rule.OfTransport)
	for i, j := range in.Installs {
		res.Installs = append(res.Installs, installOf(j.Install))
		res.Findings = append(res.Findings, newSubject(in, i).findings(in.Rules)...)
	}
	for _, stranger := range strangers(in) {
		res.Installs = append(res.Installs, stranger.install)
		res.Findings = append(res.Findings, stranger.findings(in, len(res.Installs)-1)...)
	}
	if len(res.Installs) == 0 {
		res.Findings = nobody(in)
	}
	res.Findings = append(res.Findings, transport(ways, s.Transport.Legacy)...)
	if !s.Complete {
		distrust(res.Findings)
	}
	for i := range in.Installs {
		planChanges(in, i, res)
	}
	for i := range res.Findings {
		waive(&res.Findings[i], in)
	}
	return res
}

// distrust takes the good verdicts away from a host that was not read to its end: what decides may be in the part that did not come.
func distrust(findings []Finding) {
	why := say("the host was not read to the end", "호스트 수집이 끝까지 완료되지 않음")
	for i := range findings {
		f := &findings[i]
		if f.Status != Pass && f.Status != NotApplicable {
			continue
		}
		f.Status = Unknown
		have := why.and(text{f.Have, f.Ko.Have})
		f.Have, f.Ko.Have = have.en, have.ko
	}
}

func installOf(i mta.Install) Install {
	return Install{
		MTA: i.MTA, Instance: i.Instance, Version: i.Version, Package: i.Package, Program: i.Program,
		Active: i.Active, Listen: i.Listen, Config: i.Config, Basis: i.Basis, Panel: i.Panel,
	}
}

// waive turns a fail that somebody answers for into waived. An expired waiver leaves the fail and says so. Only a fail is waived: to
// answer for a hole is possible, to answer for not having looked is not.
func waive(f *Finding, in Input) {
	for _, w := range in.Intent.Waivers {
		if w.Rule != f.Rule || f.Status != Fail {
			continue
		}
		f.Waiver = &w
		date := w.Expires.Format(time.DateOnly)
		if w.holds(in.Now) {
			f.Status = Waived
			f.Have += "; waived until " + date + ": " + w.Reason
			f.Ko.Have += "; " + date + "까지 예외승인: " + w.Reason
			return
		}
		f.Have += "; the waiver expired on " + date + ": " + w.Reason
		f.Ko.Have += "; " + date + "에 예외승인 만료: " + w.Reason
	}
}

// waived says whether a waiver of the rule holds.
func (in Input) waived(rule string) bool {
	return slices.ContainsFunc(in.Intent.Waivers, func(w Waiver) bool { return w.Rule == rule && w.holds(in.Now) })
}
