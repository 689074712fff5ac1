package plan

import (
	"net/netip"
	"slices"
	"time"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// Impact is mail that went through the host and that the planned changes would refuse.
type Impact struct {
	MTA    string    `json:"mta"`
	Client string    `json:"client"`
	Count  int       `json:"count"`
	Last   time.Time `json:"last"`
	// Perhaps: an entry by name, which no address can be matched against, may still let the client relay.
	Perhaps bool `json:"perhaps,omitempty"`
}

// impactOf lists the clients that were seen to relay without having authenticated, and that nothing lets relay once the fixes are made.
func impactOf(in Input, i int, files []mta.File, mended []*Finding) []Impact {
	if slices.ContainsFunc(mended, func(f *Finding) bool { return stops(f.modes) }) {
		return everyClient(in, i)
	}
	if !slices.ContainsFunc(mended, func(f *Finding) bool { return f.relay && len(f.fixes) > 0 }) {
		return nil
	}
	now, left := in.Installs[i].Config.Trusted, remaining(in, i, files, mended)
	perhaps := slices.ContainsFunc(left, func(t mta.Trust) bool { return t.Kind == "client-name" || t.Kind == "table" })
	var out []Impact
	for _, seen := range in.Snapshot.Seen(in.Installs[i].Install.MTA) {
		addr, err := netip.ParseAddr(seen.Client)
		if seen.Auth || !seen.Foreign || err == nil && (covered(addr, left) || in.selfRelays(i, addr) || in.refusedNow(i, addr, now)) {
			continue
		}
		out = append(out, Impact{MTA: in.Installs[i].Install.MTA, Client: seen.Client, Count: seen.Count, Last: seen.Last, Perhaps: perhaps})
	}
	slices.SortStableFunc(out, func(a, b Impact) int { return b.Count - a.Count })
	return out
}

// everyClient lists all whose mail came in through a service that is to be stopped.
func everyClient(in Input, i int) []Impact {
	var out []Impact
	for _, seen := range in.Snapshot.Seen(in.Installs[i].Install.MTA) {
		at := slices.IndexFunc(out, func(o Impact) bool { return o.Client == seen.Client })
		if at < 0 {
			out = append(out, Impact{MTA: in.Installs[i].Install.MTA, Client: seen.Client})
			at = len(out) - 1
		}
		out[at].Count += seen.Count
		if seen.Last.After(out[at].Last) {
			out[at].Last = seen.Last
		}
	}
	slices.SortStableFunc(out, func(a, b Impact) int { return b.Count - a.Count })
	return out
}

// addImpact adds what another installation's changes would refuse. Instances of one MTA share a log: a client is told of once, as surely
// refused where one of them would.
func addImpact(told, more []Impact) []Impact {
	for _, i := range more {
		at := slices.IndexFunc(told, func(t Impact) bool { return t.MTA == i.MTA && t.Client == i.Client })
		if at < 0 {
			told = append(told, i)
			continue
		}
		told[at].Perhaps = told[at].Perhaps && i.Perhaps
	}
	return told
}

// remaining returns the entries that still let somebody relay after the fixes: those of the changed configuration where it can be read
// again, else the present ones without those that a fix takes away.
func remaining(in Input, i int, files []mta.File, mended []*Finding) []mta.Trust {
	var out []mta.Trust
	for _, t := range in.Installs[i].Config.Trusted {
		gone := len(t.Fix) > 0 && !slices.ContainsFunc(t.Fix, func(fix mta.Fix) bool {
			return !slices.ContainsFunc(mended, func(f *Finding) bool { return slices.Contains(f.fixes, fix) })
		})
		if !gone {
			out = append(out, t)
		}
	}
	if _, again := reread(in, i, files); again != nil {
		out = slices.DeleteFunc(out, func(t mta.Trust) bool {
			return !slices.ContainsFunc(again.Trusted, func(u mta.Trust) bool { return u.Kind == t.Kind && u.Value == t.Value })
		})
	}
	return out
}

// covered says whether an entry by network, or one for everybody, lets the address relay.
func covered(addr netip.Addr, entries []mta.Trust) bool {
	return slices.ContainsFunc(entries, func(t mta.Trust) bool {
		return t.Kind == "any" || t.Kind == "client-net" && t.Net.IsValid() && unmap(t.Net).Contains(addr.Unmap())
	})
}

// refusedNow says whether the address is refused already: it was seen when the configuration was another one.
func (in Input) refusedNow(i int, addr netip.Addr, entries []mta.Trust) bool {
	byName := slices.ContainsFunc(entries, func(t mta.Trust) bool { return t.Kind != "client-net" })
	open := slices.ContainsFunc(in.Installs[i].Answers, openly)
	return !byName && !open && !covered(addr, entries)
}

// selfRelays says whether the address is the host's own and the host lets itself relay.
func (in Input) selfRelays(i int, addr netip.Addr) bool {
	class := judge.Class("")
	if addr.Unmap().IsLoopback() {
		class = judge.Localhost
	}
	for _, own := range in.Snapshot.Addrs {
		if p, err := netip.ParsePrefix(own); err == nil && class == "" && p.Addr().Unmap() == addr.Unmap() {
			class = judge.Own
		}
	}
	return class != "" && slices.ContainsFunc(in.Installs[i].Answers, func(a judge.Answer) bool {
		return a.Question.Class == class && a.Question.Verb == judge.Rcpt && a.Outcome == judge.Relayed
	})
}
