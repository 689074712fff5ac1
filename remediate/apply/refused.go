package apply

import (
	"context"
	_ "embed"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"mtaharden/remediate/judge"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

//go:embed sh/maillog.sh
var maillogSh string

// mark is how far the host's mail log was at a moment: words for the script that reads on from there.
type mark []string

// logLimit bounds what is read of the log between the swap and a look.
const logLimit = 4 << 20

// markLog notes how far the mail log is.
func markLog(ctx context.Context, h remote.Host) (mark, error) {
	res, err := h.Run(ctx, remote.Script(maillogSh, "mark"), logLimit)
	if err != nil {
		return nil, fmt.Errorf("cannot see how far the mail log is: %w", err)
	}
	if res.Exit != 0 {
		return nil, fmt.Errorf("cannot see how far the mail log is: exit status %d", res.Exit)
	}
	return parseMark(string(res.Stdout)), nil
}

// parseMark reads lines "KEY INODE SIZE PATH" and one "now EPOCH". What is of another form is passed over.
func parseMark(out string) mark {
	var m mark
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if markLine.MatchString(line) && len(m) < 64 {
			m = append(m, line)
		}
	}
	return m
}

var markLine = regexp.MustCompile(`^(now \d{1,12}|file \d{1,20} \d{1,20} /[!-~]+)$`)

// refusedSince reads the mail log on from a mark, and returns the lines by which a client was refused as a stranger is, or because the
// server does not work.
func refusedSince(ctx context.Context, h remote.Host, m mark) ([]refusal, error) {
	res, err := h.Run(ctx, remote.Script(maillogSh, append([]string{"since"}, m...)...), logLimit)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mail log: %w", err)
	}
	if res.Exit != 0 {
		return nil, fmt.Errorf("cannot read the mail log: exit status %d", res.Exit)
	}
	return parseRefusals(string(res.Stdout)), nil
}

// refusal is one client that was turned away, and the log's words.
type refusal struct {
	Client netip.Addr
	Text   string
}

// Addresses stand in brackets in the logs of all MTAs that this was read from: "[192.0.2.1]", "[IPv6:2001:db8::1]", "[192.0.2.1]:25".
var bracketed = regexp.MustCompile(`\[(?:IPv6:)?([0-9a-fA-F.:]+)\]`)

// turned matches the words of a refusal of relaying and of a server that cannot serve; a refusal for other reasons (no such user, a block
// list) is nothing that a changed configuration is known to have done.
var turned = regexp.MustCompile(`(?i)relay(ing)? (access )?(denied|not permitted|not allowed|prohibited)|not permitted to relay|(server|local) configuration error|local problem|temporary lookup failure`)

// asking matches a line about the network judge, whom verify itself may ask: that a question of its own is refused loses no mail of the machine that asks.
var asking = regexp.MustCompile(`(?i)\b` + judge.ProbeUser + `\b`)

const maxRefusals = 1000

// parseRefusals reads log lines.
func parseRefusals(log string) []refusal {
	var out []refusal
	for line := range strings.Lines(log) {
		if len(out) == maxRefusals {
			break
		}
		words := turned.FindString(line)
		all := bracketed.FindAllStringSubmatch(line, 8)
		if words == "" || len(all) == 0 || strings.Contains(strings.ToLower(words), "relay") && asking.MatchString(line) {
			continue
		}
		for _, m := range all {
			a, err := netip.ParseAddr(m[1])
			if err == nil {
				r := refusal{a.Unmap().WithZone(""), words}
				if !slices.Contains(out, r) {
					out = append(out, r)
				}
				break
			}
		}
	}
	return out
}

// refusals are the clients that were taken before, are refused now, and that the plan did not name.
func refusals(h plan.HostPlan, seen []string, now []refusal) []string {
	var out []string
	for _, r := range now {
		client := r.Client.String()
		named := slices.ContainsFunc(h.Impact, func(i plan.Impact) bool { return i.Client == client })
		if slices.Contains(seen, client) && !named {
			out = append(out, fmt.Sprintf("%s, whose mail was taken before, is refused: %s", client, r.Text))
		}
	}
	return compact(out)
}
