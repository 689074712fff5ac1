package apply

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// pairs of a generated file that are compared.
const (
	pairPending = "pending" // the live one, and what the unchanged sources give
	pairPlan    = "plan"    // what the unchanged sources give, and what the changed ones do
	pairWhole   = "whole"   // the live one, and what the changed sources give
)

// cutDiff is the length at which the host cuts a difference.
const cutDiff = 400_000

// parseDiffs reads what compare.sh prints: by file's number and pair, the unified difference.
func parseDiffs(out []byte, files int) ([]map[string]string, error) {
	diffs := make([]map[string]string, files)
	for len(out) > 0 {
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		words := strings.Split(string(line), " ")
		if !ok || len(words) != 4 || words[0] != "diff" {
			return nil, fmt.Errorf("cannot read the host's differences: %q", clip(string(line)))
		}
		n, err := strconv.Atoi(words[1])
		size, err2 := strconv.Atoi(words[3])
		pair := words[2]
		if err != nil || err2 != nil || n < 1 || n > files || size < 0 || size > cutDiff || size > len(rest) || pair != pairPending && pair != pairPlan && pair != pairWhole {
			return nil, fmt.Errorf("cannot read the host's differences: %q", clip(string(line)))
		}
		if diffs[n-1] == nil {
			diffs[n-1] = map[string]string{}
		}
		if _, twice := diffs[n-1][pair]; twice {
			return nil, fmt.Errorf("cannot read the host's differences: %q is there twice", clip(string(line)))
		}
		diffs[n-1][pair] = string(rest[:size])
		out = rest[size:]
	}
	for n, d := range diffs {
		if d == nil {
			return nil, fmt.Errorf("cannot read the host's differences: those of file %d are missing", n+1)
		}
	}
	return diffs, nil
}

// changedLines are the lines that a unified difference takes out ("-…") and puts in ("+…").
func changedLines(diff string) []string {
	var out []string
	for line := range strings.Lines(diff) {
		if line[0] == '+' || line[0] == '-' {
			out = append(out, strings.TrimRight(line, "\r\n"))
		}
	}
	return out
}

// unexplained are the lines by which a generated file changes, and which the plan's own changes of its sources do not bring about. A
// difference that was cut explains nothing more, and is itself explained no further: its cut is a line of the answer.
func unexplained(whole, planned string) []string {
	left := map[string]int{}
	for _, line := range changedLines(planned) {
		left[line]++
	}
	var out []string
	for _, line := range changedLines(whole) {
		if left[line] == 0 {
			out = append(out, line)
			continue
		}
		left[line]--
	}
	if len(whole) == cutDiff || len(planned) == cutDiff {
		out = append(out, "(the difference is too long to be shown whole)")
	}
	return out
}
