// Package progress shows how far long work is: one line that is redrawn on a terminal,
//
//	Epoch 3/10  [=============>               ]  45 %  12.3 img/s  loss 5.31  eta 1m20s
//
// and a plain line now and then where the output goes to a file or a pipe.
package progress

import (
	"bytes"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	redraw = 100 * time.Millisecond // the least time between two drawings on a terminal
	plain  = 10 * time.Second       // and between two plain lines
	clear  = "\r\x1b[K"             // to the first column, erase to the end of the line
)

// Task is one piece of work with a line of its own, such as an epoch.
type Task struct {
	Label string // what it is: "Epoch 3/10"
	Unit  string // what is counted: "img" gives "12.3 img/s"
	Total int    // units in all; 0 or less where nobody knows, then there is neither bar nor percentage
	Done  int    // units that were done before, by a run that is resumed here; they do not count for the rate
	After int    // units that follow in later tasks; they count for the eta alone
}

// Bar draws the line of one task after the other. All methods may be called by several goroutines at
// once. Errors of the output are ignored: a closed terminal is no reason to end a run.
//
// A Bar is an io.Writer. What is written through it, such as the records of a log, appears above the
// line; write nothing else to the same terminal while a task is under way.
type Bar struct {
	mu    sync.Mutex
	out   io.Writer
	width func() int // columns of the terminal; nil where out is none
	lines bytes.Buffer

	running bool
	task    Task
	done    int
	note    string
	began   time.Time
	pace    pace
	drawn   time.Time // when the line was last drawn
	shown   bool      // the line is on the screen and the cursor behind it
	partial bool      // the last text that was written through the bar did not end its line
}

// New returns a bar on out, os.Stderr as a rule. It is redrawn in place where out is a terminal that can
// do so.
func New(out io.Writer) *Bar {
	b := &Bar{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		b.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns <= 0 {
				return 80
			}
			return columns
		}
	}
	return b
}

// Start begins a task and shows its line. A task that is under way is finished first.
func (b *Bar) Start(t Task) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish()
	now := time.Now()
	b.running, b.task, b.done, b.note, b.began = true, t, t.Done, "", now
	b.pace = pace{}
	b.pace.add(now, t.Done)
	if b.drawn = now; b.width != nil { // the first plain line comes when there is a rate to tell
		b.draw()
	}
}

// Set says how many units are done, those of Task.Done included, and what to show beside them, such as
// "loss 5.31". It costs next to nothing between two drawings, so call it after each step.
func (b *Bar) Set(done int, note string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		return
	}
	now := time.Now()
	b.done, b.note = done, note
	b.pace.add(now, done)
	every := plain
	if b.width != nil {
		every = redraw
	}
	if now.Sub(b.drawn) >= every {
		b.drawn = now
		b.draw()
	}
}

// Finish ends the task. Its last line, with the rate over all and the time it took, stays on the screen.
// It does nothing where no task is under way.
func (b *Bar) Finish() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finish()
}

func (b *Bar) finish() {
	if !b.running {
		return
	}
	b.running = false
	b.draw()
	if b.width != nil {
		io.WriteString(b.out, "\n")
		b.shown = false
	}
}

// Write puts p above the line: it erases the line, writes p and draws the line again, once p has ended
// its own. It returns what the output returned.
func (b *Bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if b.shown {
		io.WriteString(b.out, clear)
		b.shown = false
	}
	n, err := b.out.Write(p)
	b.partial = !bytes.HasSuffix(p, []byte("\n"))
	if b.running && b.width != nil {
		b.draw()
	}
	return n, err
}

// draw shows the line as it is now, in one write so that it does not flicker.
func (b *Bar) draw() {
	b.lines.Reset()
	if b.width == nil {
		if b.partial {
			b.lines.WriteByte('\n')
			b.partial = false
		}
		b.lines.WriteString(b.line(0))
		b.lines.WriteByte('\n')
	} else {
		if b.partial {
			if b.running {
				return // the half line would be lost
			}
			b.lines.WriteByte('\n')
			b.partial = false
		}
		b.lines.WriteString(clear)
		// One column stays free: a character in the last one moves some terminals to the next line.
		b.lines.WriteString(b.line(max(b.width()-1, 1)))
		b.shown = true
	}
	b.out.Write(b.lines.Bytes())
}
