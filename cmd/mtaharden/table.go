package main

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// table is rows of cells, written in columns.
type table [][]string

func (t table) write(b *strings.Builder) {
	var widths []int
	for _, row := range t {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if i < len(row)-1 { // a row's last cell may be as long as it likes
				widths[i] = max(widths[i], runewidth.StringWidth(cell))
			}
		}
	}
	for _, row := range t {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)+2))
			}
		}
		b.WriteString("\n")
	}
}
