package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// csvTable writes a line a finding (RFC 4180, CRLF line ends). A cell that a spreadsheet would take for a formula begins with an apostrophe,
// which spreadsheets do not show.
type csvTable struct {
	w     *csv.Writer
	lang  string
	apply bool // two more columns: how the host was left
}

func newCSV(w io.Writer, lang string) *csvTable {
	c := csv.NewWriter(w)
	c.UseCRLF = true
	return &csvTable{w: c, lang: lang}
}

func (c *csvTable) Begin(r Run) error {
	c.apply = r.Command == "apply" || r.Command == "rollback"
	header := []string{"host", "address", "state", "mta", "version", "listener", "rule", "title", "severity", "status", "have", "want",
		"file", "line", "controls", "guide_status", "fixable", "manual", "error"}
	if c.lang == "ko" {
		header = []string{"호스트", "주소", "상태", "MTA", "버전", "수신 주소", "규칙", "항목", "위험도", "판정", "현황", "기준",
			"파일", "행", "통제 항목", "가이드 문구 판정", "자동 조치", "수동 조치", "오류"}
	}
	if c.apply && c.lang == "ko" {
		header = append(header, "결과", "설명")
	} else if c.apply {
		header = append(header, "outcome", "sentence")
	}
	return c.row(header)
}

func (c *csvTable) row(cells []string) error {
	for i, cell := range cells {
		cells[i] = harmless(cell)
	}
	if err := c.w.Write(cells); err != nil {
		return err
	}
	c.w.Flush()
	return c.w.Error()
}

// harmless keeps a spreadsheet from running a cell, and a terminal from obeying it.
func harmless(cell string) string {
	cell = clean(cell)
	if trimmed := strings.TrimLeft(cell, " \u00a0␉␍␤"); trimmed != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(trimmed)[0]) {
		return "'" + cell
	}
	return cell
}

func (c *csvTable) Host(h *Host) error {
	w := wordsOf(c.lang)
	whole := hostOf(h, c.lang)
	state := string(h.State)
	if c.lang == "ko" {
		state = w.state[h.State]
	}
	var left []string
	if c.apply {
		left = []string{string(whole.Outcome), whole.Sentence}
	}
	if len(whole.Findings) == 0 {
		return c.row(append([]string{h.Name, h.Address, state, "", "", "", "", "", "", "", "", "", "", "", "", "", "", "", h.Error}, left...))
	}
	for _, f := range whole.Findings {
		version := ""
		if f.Install >= 0 && f.Install < len(whole.Installs) {
			version = whole.Installs[f.Install].Version
		}
		line, severity, status, guide := "", string(f.Severity), string(f.Status), string(f.GuideStatus)
		if f.Line > 0 {
			line = strconv.Itoa(f.Line)
		}
		if c.lang == "ko" {
			severity, status, guide = w.severity[f.Severity], w.status[f.Status], w.status[f.GuideStatus]
		}
		cells := []string{h.Name, h.Address, state, f.MTA, version, f.Listener, f.Rule, f.Title, severity, status, f.Have, f.Want,
			f.File, line, strings.Join(f.Controls, " "), guide, strconv.FormatBool(f.Fixable), f.Manual, h.Error}
		if err := c.row(append(cells, left...)); err != nil {
			return err
		}
	}
	return nil
}

func (c *csvTable) End(time.Time) error { return nil }
