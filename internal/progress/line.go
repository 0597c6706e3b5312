package progress

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	leastBar = 10 // columns of the bar between its brackets; with less room it is left out
	mostBar  = 30
)

// line is the text of the line in at most `columns` columns, or without bar and limit where columns is
// 0. With too little room it gives up, in this order, the bar, the note and the rate, and cuts off what
// is still too long.
func (b *Bar) line(columns int) string {
	label := printable(b.task.Label)
	share, percent := 0.0, ""
	if b.task.Total > 0 {
		share = min(max(float64(b.done)/float64(b.task.Total), 0), 1)
		percent = fmt.Sprintf("%3d %%", int(100*share)) // rounded down: 100 % means done
	} else {
		percent = strings.TrimSpace(fmt.Sprintf("%d %s", b.done, b.task.Unit))
	}
	now := time.Now()
	perSecond, end := b.pace.rate(), ""
	if b.running {
		end = b.eta(perSecond)
	} else {
		took := now.Sub(b.began)
		perSecond, end = 0, "in "+duration(took)
		if took > 0 {
			perSecond = float64(b.done-b.task.Done) / took.Seconds()
		}
	}
	rate := ""
	if perSecond > 0 {
		rate = fmt.Sprintf("%s %s/s", short(perSecond), b.task.Unit)
	}
	note := printable(b.note)

	full := join(label, percent, rate, note, end)
	if columns <= 0 {
		return full
	}
	room := columns - utf8.RuneCountInString(full) - len("  []")
	room -= room % 5 // steady while the eta loses a digit
	switch {
	case b.task.Total > 0 && room >= leastBar:
		return join(label, bar(share, min(room, mostBar)), percent, rate, note, end)
	case utf8.RuneCountInString(full) <= columns:
		return full
	}
	for _, less := range []string{join(label, percent, rate, end), join(label, percent, end)} {
		if utf8.RuneCountInString(less) <= columns {
			return less
		}
	}
	return string([]rune(join(label, percent))[:min(columns, utf8.RuneCountInString(join(label, percent)))])
}

// eta is the time until the end of this task and those after it, "" while nobody can know.
func (b *Bar) eta(perSecond float64) string {
	left := b.task.Total - b.done + b.task.After
	if b.task.Total <= 0 || perSecond <= 0 || left < 0 {
		return ""
	}
	seconds := float64(left) / perSecond
	if seconds > 1e9 { // thirty years; beyond 290 a Duration overflows
		return ""
	}
	return "eta " + duration(time.Duration(seconds*float64(time.Second)))
}

// bar is [====>    ] with `columns` columns between the brackets.
func bar(share float64, columns int) string {
	full := int(share * float64(columns))
	if full == columns {
		return "[" + strings.Repeat("=", columns) + "]"
	}
	return "[" + strings.Repeat("=", full) + ">" + strings.Repeat(" ", columns-full-1) + "]"
}

// join puts two spaces between the parts that are not empty.
func join(parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "  ")
}

// printable takes out what would move the cursor, such as a line break in a note.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// short gives a positive number in about three digits: 0.012, 1.23, 12.3, 123, 12345.
func short(v float64) string {
	decimals := 2 - int(math.Floor(math.Log10(v)))
	return fmt.Sprintf("%.*f", min(max(decimals, 0), 3), v)
}

// duration gives a time as its two largest units: 8s, 1m20s, 2h05m, 3d04h.
func duration(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s/3600%24)
}
