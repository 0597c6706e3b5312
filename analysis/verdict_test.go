package analysis

import (
	"math"
	"strings"
	"testing"
)

// history60 is the history of a run of 60 records, ten steps each, with an epoch after every tenth.
func history60(set func(at float64, e *entry), scores func(at float64, e *entry)) *history {
	h := &history{baseline: blankEntry()}
	h.baseline.KNNUntrained, h.baseline.KNNPixels = 20, 30
	for i := range 60 {
		e := blankEntry()
		e.Kind, e.Step, e.Loss, e.Cls, e.Acc, e.Entropy, e.GradNorm = "step", number(10*i+10), 5, 5, .4, 3, 1
		at := float64(i) / 59
		set(at, &e)
		h.steps = append(h.steps, e)
		if i%10 == 9 && scores != nil {
			e := blankEntry()
			e.Kind, e.Step, e.Epoch, e.NMI = "epoch", number(10*i+10), number(i/10), .3
			scores(at, &e)
			h.epochs = append(h.epochs, e)
		}
	}
	return h
}

func TestJudge(t *testing.T) {
	nan := math.NaN()
	falls := func(at float64, e *entry) { e.Cls = number(5 - 2*at); e.Loss = e.Cls }
	flat := func(float64, *entry) {}
	rises := func(at float64, e *entry) { e.KNN = number(20 + 40*at) }
	for _, c := range []struct {
		name  string
		h     *history
		used  float64
		state State
		want  string // in the text or a meaning
	}{
		{"k-NN rises", history60(falls, rises), 12, Learning, "beat the untrained network (20.0 %) and raw pixels (30.0 %)"},
		{"below pixels", history60(falls, func(at float64, e *entry) { e.KNN = number(20 + 5*at) }), nan, Learning, "but not raw pixels (30.0 %) yet"},
		{"loss alone", history60(falls, nil), nan, Learning, "predicts the teacher better than at the start"},
		{"loss rises, k-NN too", history60(func(at float64, e *entry) { e.Cls = number(3 + at) }, rises), nan, Learning, "no bad sign by itself"},
		{"k-NN fell again", history60(falls, func(at float64, e *entry) { e.KNN = number(50 - 20*at) }), nan, Learning, "better after epoch 1 (46.9 %)"},
		{"no better than untrained", history60(falls, func(at float64, e *entry) { e.KNN = 20.5 }), nan, Stuck, "no better than those of the untrained network"},
		{"flat targets", history60(func(at float64, e *entry) { e.Entropy = number(math.Log(256)) }, rises), nan, Collapsed, "all 256 outputs are alike"},
		{"one output", history60(func(at float64, e *entry) { e.Entropy, e.Acc = 0.01, 1 }, nil), nan, Collapsed, "a single output"},
		{"student guesses", history60(func(at float64, e *entry) { e.Cls = number(math.Log(256)) }, nil), nan, Collapsed, "ln 256 = 5.55"},
		{"labels say one cluster", history60(flat, func(at float64, e *entry) { e.NMI = 0 }), nan, Collapsed, "Nearly all images are in one cluster"},
		{"measured one cluster", history60(falls, rises), 1.1, Collapsed, "All images are in one cluster"},
		{"jumps", history60(func(at float64, e *entry) {
			if int(at*59)%7 == 6 {
				e.Cls = 9
			}
		}, nil), nan, Unstable, "jumped up by more than 30 %"},
		{"jumps that did no harm", history60(func(at float64, e *entry) {
			if int(at*59)%7 == 6 {
				e.Cls = 9
			}
		}, rises), nan, Learning, "did not suffer"},
		{"skipped", history60(func(at float64, e *entry) {
			if int(at*59)%10 == 3 {
				*e = blankEntry()
				e.Kind, e.Step = "skipped", number(at*59*10+10)
			}
		}, nil), nan, Unstable, "6 steps had a loss or a gradient that was not finite"},
		{"one long gradient", history60(func(at float64, e *entry) {
			falls(at, e)
			if at > .71 && at < .72 {
				e.GradNorm = 50
			}
		}, rises), nan, Learning, "One gradient was 50 times as long as usual"},
		{"nothing tells", history60(flat, nil), nan, Unclear, "The records do not tell"},
		{"nothing recorded", &history{baseline: blankEntry()}, nan, Unclear, "Too early to tell: 0 steps"},
		{"by chance", history60(func(at float64, e *entry) { e.Acc = 0.001; falls(at, e) }, rises), nan, Learning, "no more often than by chance"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := judge(c.h, 256, c.used)
			said := v.Text
			for _, s := range v.Signals {
				if s.Name == "" || s.Value == "" || !strings.HasSuffix(s.Meaning, ".") || s.Mark == "" {
					t.Errorf("a signal lacks something: %+v", s)
				}
				said += " " + s.Meaning
			}
			if v.State != c.state || !strings.Contains(said, c.want) {
				t.Errorf("got %s: %s; want %s with %q", v.State, said, c.state, c.want)
			}
		})
	}
	early := history60(falls, rises)
	early.steps, early.epochs = early.steps[:15], early.epochs[:1]
	if v := judge(early, 256, nan); v.State != Unclear || len(v.Signals) == 0 {
		t.Errorf("after 150 steps: %+v, want it unclear, with the signals", v)
	}
}

func TestJudgeRun(t *testing.T) {
	if _, err := Judge(t.TempDir(), math.NaN()); err == nil || !strings.Contains(err.Error(), "want a run's folder with metrics.jsonl") {
		t.Errorf("got %v", err)
	}
}
