package progress

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// screen is a terminal as far as the bar needs one: it knows carriage return, line feed and
// erase-to-end-of-line, and wraps where a line is too long.
type screen struct {
	width int
	rows  [][]rune
	col   int
	draws int // how often a line was erased
}

func (s *screen) Write(p []byte) (int, error) {
	if len(s.rows) == 0 {
		s.rows = append(s.rows, nil)
	}
	for text := string(p); text != ""; {
		last := len(s.rows) - 1
		if rest, ok := strings.CutPrefix(text, "\x1b[K"); ok {
			s.rows[last] = s.rows[last][:s.col]
			s.draws++
			text = rest
			continue
		}
		r := []rune(text)[0]
		text = text[len(string(r)):]
		switch {
		case r == '\r':
			s.col = 0
		case r == '\n':
			s.rows, s.col = append(s.rows, nil), 0
		case s.col == s.width:
			s.rows, s.col = append(s.rows, []rune{r}), 1
		default:
			s.rows[last] = append(s.rows[last][:s.col], r)
			s.col++
		}
	}
	return len(p), nil
}

func (s *screen) String() string {
	var b strings.Builder
	for _, row := range s.rows {
		b.WriteString(string(row) + "\n")
	}
	return b.String()
}

func terminal(width int) (*Bar, *screen) {
	s := &screen{width: width}
	return &Bar{out: s, width: func() int { return width }}, s
}

func wantText(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := terminal(80)
		b.Start(Task{Label: "Epoch 3/10", Unit: "img", Total: 1000})
		wantText(t, s.String(), "Epoch 3/10  [>                             ]    0 %\n")
		for done := 10; done <= 450; done += 10 {
			time.Sleep(800 * time.Millisecond)
			b.Set(done, "loss 5.31")
		}
		wantText(t, s.String(), "Epoch 3/10  [===========>             ]   45 %  12.5 img/s  loss 5.31  eta 44s\n")
		b.Finish()
		wantText(t, s.String(), "Epoch 3/10  [===========>             ]   45 %  12.5 img/s  loss 5.31  in 36s\n\n")
		b.Finish()
		b.Set(500, "too late")
		wantText(t, s.String(), "Epoch 3/10  [===========>             ]   45 %  12.5 img/s  loss 5.31  in 36s\n\n")
	})
}

// A thousand steps a second are drawn ten times a second.
func TestRedrawLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := terminal(80)
		b.Start(Task{Label: "k-NN", Total: 2000})
		for i := range 2000 {
			time.Sleep(time.Millisecond)
			b.Set(i+1, "")
		}
		b.Finish()
		if s.draws != 22 { // one at the start, twenty in two seconds, one at the end
			t.Errorf("got %d drawings, want 22", s.draws)
		}
		wantText(t, s.String(), "k-NN  [==============================]  100 %  1000 /s  in 2s\n\n")
	})
}

func TestLogAboveTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, s := terminal(60)
		log := slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		log.Info("before")
		b.Start(Task{Label: "Epoch 1/1", Total: 10})
		log.Warn("an image is broken", "path", "a.jpg")
		wantText(t, s.String(), "level=INFO msg=before\nlevel=WARN msg=\"an image is broken\" path=a.jpg\n"+
			"Epoch 1/1  [>                             ]    0 %\n")

		// Half a line is left alone until its end has come.
		fmt.Fprint(b, "saving ... ")
		time.Sleep(time.Second)
		b.Set(5, "")
		fmt.Fprint(b, "done\n")
		b.Finish()
		log.Info("after")
		wantText(t, s.String(), "level=INFO msg=before\nlevel=WARN msg=\"an image is broken\" path=a.jpg\n"+
			"saving ... done\n"+
			"Epoch 1/1  [==========>         ]   50 %  5.00 /s  in 1s\n"+
			"level=INFO msg=after\n\n")
	})
}

func TestPlainLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b := New(&out)
		b.Start(Task{Label: "Epoch 1/2", Unit: "img", Total: 100, After: 100})
		for i := range 25 {
			time.Sleep(time.Second)
			b.Set(4*(i+1), "loss 5.31")
			if i == 4 {
				fmt.Fprintln(b, "a record of the log")
			}
		}
		b.Finish()
		wantText(t, out.String(), "a record of the log\n"+
			"Epoch 1/2   40 %  4.00 img/s  loss 5.31  eta 40s\n"+
			"Epoch 1/2   80 %  4.00 img/s  loss 5.31  eta 30s\n"+
			"Epoch 1/2  100 %  4.00 img/s  loss 5.31  in 25s\n")
	})
}

func TestLineFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(io.Discard)
		b.Start(Task{Label: "Epoch 3/10 \x1b[31mré\n", Unit: "img", Total: 1000})
		time.Sleep(8 * time.Second)
		b.Set(100, "loss 5.31\nlr 0.0005")
		for _, test := range []struct {
			columns int
			want    string
		}{
			{200, "Epoch 3/10 [31mré  [===>                          ]   10 %  12.5 img/s  loss 5.31lr 0.0005  eta 1m12s"},
			{90, "Epoch 3/10 [31mré  [=>             ]   10 %  12.5 img/s  loss 5.31lr 0.0005  eta 1m12s"},
			{70, "Epoch 3/10 [31mré   10 %  12.5 img/s  loss 5.31lr 0.0005  eta 1m12s"},
			{60, "Epoch 3/10 [31mré   10 %  12.5 img/s  eta 1m12s"},
			{40, "Epoch 3/10 [31mré   10 %  eta 1m12s"},
			{12, "Epoch 3/10 ["},
			{1, "E"},
		} {
			if got := b.line(test.columns); got != test.want {
				t.Errorf("%d columns: got %q, want %q", test.columns, got, test.want)
			}
		}
		for columns := 1; columns < 200; columns++ {
			if n := len([]rune(b.line(columns))); n > columns {
				t.Errorf("%d columns: the line has %d", columns, n)
			}
		}
	})
}

// The rate of a resumed task is that of what was done since, and no rate or eta is told before there
// is one.
func TestResumedTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New(io.Discard)
		b.Start(Task{Label: "Epoch 2", Unit: "img", Total: 1000, Done: 900, After: 2000})
		wantText(t, b.line(0), "Epoch 2   90 %")
		time.Sleep(5 * time.Second)
		b.Set(950, "")
		wantText(t, b.line(0), "Epoch 2   95 %  10.0 img/s  eta 3m25s")
		b.Start(Task{Label: "Scan", Unit: "files", Done: 3})
		wantText(t, b.line(0), "Scan  3 files")
		time.Sleep(10 * time.Second)
		b.Set(8, "")
		wantText(t, b.line(0), "Scan  8 files  0.500 files/s")
	})
}

// A slow start is forgotten after half a minute; of very slow steps the latest still counts.
func TestPace(t *testing.T) {
	now := time.Unix(0, 0)
	var p pace
	p.add(now, 0)
	now = now.Add(100 * time.Second)
	p.add(now, 10)
	if got := p.rate(); got != 0.1 {
		t.Errorf("slow start: got %g, want 0.1", got)
	}
	for i := range 400 {
		now = now.Add(100 * time.Millisecond)
		p.add(now, 10+i+1)
	}
	if got := p.rate(); got != 10 {
		t.Errorf("later: got %g, want 10", got)
	}
	if len(p.points) > 40 {
		t.Errorf("got %d points, want about 31", len(p.points))
	}
	now = now.Add(200 * time.Second)
	p.add(now, 430)
	now = now.Add(200 * time.Second)
	p.add(now, 450)
	if got := p.rate(); got != 0.1 {
		t.Errorf("slow steps: got %g, want 0.1", got)
	}
}

func TestWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 59400 * time.Millisecond: "59s", 59600 * time.Millisecond: "1m00s", 80 * time.Second: "1m20s",
		125 * time.Minute: "2h05m", 76 * time.Hour: "3d04h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
	for v, want := range map[float64]string{0.0123: "0.012", 0.5: "0.500", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 98765: "98765"} {
		if got := short(v); got != want {
			t.Errorf("%g: got %s, want %s", v, got, want)
		}
	}
}

func TestConcurrent(t *testing.T) {
	b, s := terminal(80)
	b.Start(Task{Label: "Epoch 1/1", Total: 800})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 100 {
				b.Set(i, "loss 1")
				fmt.Fprintf(b, "worker %d line %d\n", worker, i)
			}
		})
	}
	group.Wait()
	b.Set(800, "loss 1")
	b.Finish()
	if got := strings.Count(s.String(), "worker "); got != 800 {
		t.Errorf("got %d lines of workers, want 800", got)
	}
	if got := strings.Count(s.String(), "Epoch"); got != 1 {
		t.Errorf("got %d lines of the bar, want 1:\n%s", got, s)
	}
}
