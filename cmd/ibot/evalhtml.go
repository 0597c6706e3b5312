//go:build !noengine

package main

import (
	"bytes"
	"fmt"
	"html"
	"io"
)

// The page that ibot eval all writes needs no file beside it. It is written by hand: package
// html/template finds methods by name, for which the linker would have to keep every method of the
// program.
const evalPageStyle = `<style>
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
.about { opacity: .75; overflow-wrap: anywhere; margin-top: 0; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; }
tr.first td { font-weight: 600; }
pre { white-space: pre-wrap; padding: .8rem; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: .4rem; }
</style>`

// html writes the page.
func (s *evalSummary) html(out io.Writer) error {
	var b bytes.Buffer
	put := func(format string, texts ...any) { // texts are escaped
		for i, text := range texts {
			texts[i] = html.EscapeString(fmt.Sprint(text))
		}
		fmt.Fprintf(&b, format, texts...)
	}
	put("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n" +
		"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")
	put("<title>%s on %s</title>\n", s.Checkpoint, s.Data)
	b.WriteString(evalPageStyle)
	put("\n<h1>%s, %s</h1>\n", s.Arch, s.Net)
	put("<p class=\"about\">%s, epoch %v, step %v<br>on %s</p>\n", s.Checkpoint, s.Epoch, s.Step, s.Data)
	put("<table>\n<thead><tr><th>protocol<th>score<th class=\"n\">ours<th class=\"n\">paper</tr></thead>\n<tbody>\n")
	for i, row := range s.Rows {
		if i == 0 || s.Rows[i-1].Protocol != row.Protocol {
			put("<tr class=\"first\"><td><a href=\"#%s\">%s</a>", row.Protocol, row.Protocol)
		} else {
			put("<tr><td>")
		}
		put("<td>%s<td class=\"n\">%s<td class=\"n\">%s</tr>\n", row.Score, fmt.Sprintf("%.2f", row.Value), row.paper())
	}
	put("</tbody>\n</table>\n")
	for _, failed := range s.Failed {
		put("<p><strong>%s failed:</strong> %s</p>\n", failed.Protocol, failed.Reason)
	}
	for _, run := range s.Runs {
		var text bytes.Buffer
		if err := run.Report.Write(&text); err != nil {
			return err
		}
		put("<h2 id=\"%s\">%s</h2>\n<pre>%s</pre>\n", run.Protocol, run.Protocol, text.String())
	}
	if len(s.NotRun) > 0 {
		put("<h2>Not run</h2>\n<ul>\n")
		for _, n := range s.NotRun {
			put("<li><strong>%s:</strong> %s\n", n.Protocol, n.Reason)
		}
		put("</ul>\n")
	}
	put("</html>\n")
	_, err := out.Write(b.Bytes())
	return err
}
