package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/report"
)

// manyHosts is from how many hosts on a list of runs counts them.
const manyHosts = 12

// report writes runs in the format that was asked for; whole says that it is one run, shown in full.
func (k *runsCommand) report(w io.Writer, runs []jsonRun, whole bool) error {
	switch k.format {
	case "json":
		if runs == nil {
			runs = []jsonRun{}
		}
		return report.JSON(w, struct {
			Schema string    `json:"schema"`
			Runs   []jsonRun `json:"runs"`
		}{runsSchema, runs}, "  ")
	case "jsonl":
		for _, r := range runs {
			if err := report.JSON(w, struct {
				Schema string `json:"schema"`
				jsonRun
			}{runsSchema, r}, ""); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return runsCSV(w, runs)
	}
	_, err := io.WriteString(w, k.text(runs, whole))
	return err
}

func runsCSV(w io.Writer, runs []jsonRun) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"run", "command", "of", "started", "user", "controller", "plan", "ticket", "host", "source", "state", "over", "outcome", "sentence"}}
	for _, r := range runs {
		for _, h := range r.Hosts {
			row := []string{r.ID, r.Command, r.Of, stamp(r.Started, time.RFC3339), r.User, r.Controller, r.Plan, r.Ticket, h.Name, h.Source, string(h.State),
				strconv.FormatBool(h.Over), string(h.Outcome), h.Sentence}
			for i := range row {
				row[i] = report.Cell(row[i])
			}
			rows = append(rows, row)
		}
	}
	return out.WriteAll(rows)
}

func stamp(t *time.Time, layout string) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(layout)
}

func (k *runsCommand) text(runs []jsonRun, whole bool) string {
	var b strings.Builder
	if len(runs) == 0 {
		return map[string]string{"en": "no runs\n", "ko": "실행 기록 없음\n"}[k.lang]
	}
	for i, r := range runs {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(r.head() + "\n")
		if len(r.Hosts) >= manyHosts && !whole {
			b.WriteString("  " + r.counts() + "\n")
			continue
		}
		k.hosts(&b, r, whole)
	}
	return b.String()
}

// head is a run in one line.
func (r jsonRun) head() string {
	words := []string{r.ID, r.Command}
	if r.Of != "" {
		words = append(words, "of "+r.Of)
	}
	who := r.User
	if r.Controller != "" {
		who += "@" + r.Controller
	}
	if r.Started != nil {
		words = append(words, r.Started.Local().Format(time.DateTime))
	}
	for _, w := range [][2]string{{"", who}, {"plan ", r.Plan}, {"ticket ", r.Ticket}, {"", r.Note}} {
		if w[1] != "" {
			words = append(words, w[0]+w[1])
		}
	}
	return facts.Printable(strings.Join(words, "  "))
}

// counts says of how many hosts which ending is known.
func (r jsonRun) counts() string {
	by := map[apply.Ending]int{}
	for _, h := range r.Hosts {
		by[h.Outcome]++
	}
	text := fmt.Sprintf("%d hosts", len(r.Hosts))
	for _, e := range []apply.Ending{apply.Changed, apply.Unchanged, apply.RolledBack, apply.Failed, apply.NeedsPerson, apply.NotKnown, apply.NotBegun} {
		if by[e] > 0 {
			text += fmt.Sprintf(", %d %s", by[e], e)
		}
	}
	return text
}

// hosts are a run's hosts in words, with the steps of a run that is shown in full.
func (k *runsCommand) hosts(b *strings.Builder, r jsonRun, whole bool) {
	then := map[string]string{"en": "as the run saw it then", "ko": "실행 당시 기록"}[k.lang]
	var rows table
	for _, h := range r.Hosts {
		text := h.Sentence
		switch {
		case h.Source == sideController && h.State != "" && h.State != report.OK:
			text += " (" + then + "; " + string(h.State) + ")"
		case h.Source == sideController:
			text += " (" + then + ")"
		}
		rows = append(rows, []string{"  " + facts.Printable(h.Name), facts.Printable(text)})
		if !whole && k.verbose == 0 {
			continue
		}
		for _, s := range h.Steps {
			if s.State != apply.Pending {
				rows = append(rows, []string{"", facts.Printable(strings.TrimSpace(fmt.Sprintf("  %s %s %s", s.Step, s.State, s.Error)))})
			}
		}
		if h.Damaged > 0 {
			rows = append(rows, []string{"", fmt.Sprintf("  %d %s of its journal cannot be read", h.Damaged, plural(h.Damaged, "line"))})
		}
	}
	rows.write(b)
}
