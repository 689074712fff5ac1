package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/report"
)

// prune removes what is chosen and returns those entries alone.
func (k *backupsCommand) prune(c *cobra.Command, rec *records, places []place, all []entry, within time.Duration) ([]entry, error) {
	var out []entry
	for _, i := range chosen(all, k.last, within, time.Now()) {
		out = append(out, all[i])
	}
	if len(out) == 0 || k.dryRun {
		return out, nil
	}
	if err := k.agreed(c.Context(), len(out)); err != nil {
		return nil, err
	}
	here := map[string][]string{}
	for _, e := range out {
		if e.Side == sideController {
			here[e.Run] = append(here[e.Run], e.Host)
		}
	}
	ctx := c.Context()
	if _, err := rec.store.Remove(ctx, here); err != nil {
		return nil, err
	}
	var failed []error
	for i := range out {
		out[i].Removed = out[i].Side == sideController
	}
	for _, p := range places {
		failed = append(failed, pruneHost(ctx, p, out))
	}
	return out, errors.Join(failed...)
}

// agreed asks once, unless --yes has answered.
func (k *backupsCommand) agreed(ctx context.Context, n int) error {
	if k.yes {
		return nil
	}
	answer, err := k.prompt.question(ctx, fmt.Sprintf("remove %d %s? Type yes: ", n, plural(n, "backup")))
	if errors.Is(err, errNobodyToAsk) {
		return badInput(fmt.Errorf("%w: --yes agrees beforehand, --dry-run only shows", err))
	}
	if err != nil || answer != "yes" {
		return &status{code: exitIncomplete, err: errors.New("nothing was removed: it was not agreed to")}
	}
	return nil
}

// pruneHost removes a host's own, those of entries.
func pruneHost(ctx context.Context, p place, entries []entry) error {
	var runs []string
	for _, e := range entries {
		if e.Side == sideHost && e.Host == p.name {
			runs = append(runs, e.Run)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	h, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer h.Close()
	gone, kept, err := backup.Prune(ctx, h, journal.Layout{}, runs)
	for i := range entries {
		if e := &entries[i]; e.Side == sideHost && e.Host == p.name {
			e.Removed = slices.Contains(gone, e.Run)
			if why := kept[e.Run]; why != "" {
				e.Notes = append(e.Notes, "not removed: "+facts.Printable(why))
			}
		}
	}
	return err
}

// report writes the entries in the format that was asked for.
func (k *backupsCommand) report(w io.Writer, entries []entry, lost []string) error {
	switch k.format {
	case "json":
		return report.JSON(w, struct {
			Schema  string   `json:"schema"`
			Command string   `json:"command"`
			Backups []entry  `json:"backups"`
			Lost    []string `json:"lost"` // files of the store that cannot be read at all
		}{backupsSchema, k.what, append([]entry{}, entries...), append([]string{}, lost...)}, "  ")
	case "jsonl":
		for _, e := range entries {
			if err := report.JSON(w, struct {
				Schema string `json:"schema"`
				entry
			}{backupsSchema, e}, ""); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		return backupsCSV(w, entries)
	}
	_, err := io.WriteString(w, k.text(entries, lost))
	return err
}

func backupsCSV(w io.Writer, entries []entry) error {
	rows := [][]string{{"side", "run", "host", "made", "files", "bytes", "ended", "damage", "notes", "removed"}}
	for _, e := range entries {
		row := []string{e.Side, e.Run, e.Host, stamp(e.Made, time.RFC3339), strconv.Itoa(e.Files), strconv.FormatInt(e.Bytes, 10),
			strconv.FormatBool(e.Ended), strings.Join(e.Damage, "; "), strings.Join(e.Notes, "; "), strconv.FormatBool(e.Removed)}
		for i := range row {
			row[i] = report.Cell(row[i])
		}
		rows = append(rows, row)
	}
	return csv.NewWriter(w).WriteAll(rows)
}

// backupsWords are the words of backups' text, in each language.
var backupsWords = map[string]map[string]string{
	"en": {"head": "RUN HOST WHERE MADE FILES BYTES STATE", "whole": "whole", "damaged": "DAMAGED", "open": "the run has not ended", "removed": "removed",
		"goes": "would be removed", "stays": "not removed", "saved": "saved", "none": "no backups", "nothing": "nothing to remove", "fromhost": "host", "fromcontroller": "controller"},
	"ko": {"head": "실행 호스트 위치 생성일시 파일 바이트 상태", "whole": "정상", "damaged": "손상됨", "open": "실행이 종료되지 않음", "removed": "삭제됨",
		"goes": "삭제 대상", "stays": "삭제되지 않음", "saved": "저장됨", "none": "백업 없음", "nothing": "삭제할 백업 없음", "fromhost": "호스트", "fromcontroller": "제어 서버"},
}

func (k *backupsCommand) text(entries []entry, lost []string) string {
	say := backupsWords[k.lang]
	var b strings.Builder
	for _, l := range lost {
		b.WriteString(say["damaged"] + ": " + l + "\n")
	}
	if len(entries) == 0 {
		none := say["none"]
		if k.what == "prune" {
			none = say["nothing"]
		}
		return b.String() + none + "\n"
	}
	rows := table{strings.Fields(say["head"])}
	for _, e := range entries {
		made := "-"
		if e.Made != nil {
			made = e.Made.Local().Format(time.DateTime)
		}
		state := strings.Join(append([]string{k.state(e, say)}, e.Notes...), "; ")
		rows = append(rows, []string{e.Run, facts.Printable(e.Host), say["from"+e.Side], made, strconv.Itoa(e.Files), strconv.FormatInt(e.Bytes, 10), state})
	}
	rows.write(&b)
	for _, e := range entries {
		for _, d := range e.Damage {
			fmt.Fprintf(&b, "%s %s, %s: %s\n", e.Run, facts.Printable(e.Host), say["from"+e.Side], d)
		}
	}
	return b.String()
}

// state is what is to be said of an entry first.
func (k *backupsCommand) state(e entry, say map[string]string) string {
	var words []string
	switch {
	case k.what == "prune" && e.Removed:
		words = append(words, say["removed"])
	case k.what == "prune" && k.dryRun:
		words = append(words, say["goes"])
	case k.what == "prune":
		words = append(words, say["stays"])
	case len(e.Damage) > 0:
		words = append(words, say["damaged"])
	case k.what == "verify" || e.Side == sideHost && e.Files > 0:
		words = append(words, say["whole"])
	case e.Files > 0:
		words = append(words, say["saved"])
	}
	if !e.Ended {
		words = append(words, say["open"])
	}
	return strings.Join(words, ", ")
}
