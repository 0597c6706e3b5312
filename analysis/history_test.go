package analysis

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestParseHistory(t *testing.T) {
	h, err := parseHistory(strings.NewReader(`{"kind":"baseline","step":0,"epoch":0,"knn_pixels":23.1,"knn_untrained":28.0}
{"kind":"step","step":10,"epoch":0,"loss":9.5,"cls":5.25,"patch":4.25,"lr":0.001,"acc":0.5,"entropy":6.1}
{"kind":"step","step":20,"epoch":0,"loss":"+Inf","cls":"NaN","patch":null}
{"kind":"skipped","step":25,"epoch":0,"reason":"the loss is NaN","loss":"NaN"}
{"kind":"epoch","step":30,"epoch":0,"loss":9,"nmi":0.25,"ari":0.1,"fscore":0.2,"knn":31.5,"knn_top5":80}

{"kind":"step","step":"soon","loss":1}
{"kind":"comet","step":40}
{"kind":"step","step":40,"epo`))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		got  number
		want float64
	}{
		{"pixels", h.baseline.KNNPixels, 23.1},
		{"untrained", h.baseline.KNNUntrained, 28},
		{"loss", h.steps[0].Loss, 9.5},
		{"[CLS]", h.steps[0].Cls, 5.25},
		{"patch", h.steps[0].Patch, 4.25},
		{"agreement", h.steps[0].Acc, 0.5},
		{"entropy", h.steps[0].Entropy, 6.1},
		{"k-NN of a step", h.steps[0].KNN, math.NaN()},
		{"infinite", h.steps[1].Loss, math.Inf(1)},
		{"NaN", h.steps[1].Cls, math.NaN()},
		{"null", h.steps[1].Patch, math.NaN()},
		{"skipped", h.steps[2].Loss, math.NaN()},
		{"its step", h.steps[2].Step, 25},
		{"epoch", h.epochs[0].Epoch, 0},
		{"NMI", h.epochs[0].NMI, 0.25},
		{"k-NN", h.epochs[0].KNN, 31.5},
		{"top 5", h.epochs[0].KNNTop5, 80},
	} {
		if got := float64(c.got); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	if len(h.steps) != 3 || len(h.epochs) != 1 || h.skipped() != 1 {
		t.Errorf("got %d steps, %d of them skipped, and %d epochs; want 3, 1 and 1", len(h.steps), h.skipped(), len(h.epochs))
	}
}

// A run that was killed at step 40 goes on from its checkpoint of step 20.
func TestParseHistoryOfRepeatedSteps(t *testing.T) {
	var b strings.Builder
	for _, loss := range []int{1, 2} {
		for step := 10; step <= 40; step += 10 {
			if loss == 2 && step <= 20 {
				continue
			}
			fmt.Fprintf(&b, `{"kind":"step","step":%d,"loss":%d}`+"\n"+`{"kind":"epoch","epoch":%d,"step":%d,"knn":%d}`+"\n",
				step, loss, step/10, step, loss)
			fmt.Fprintf(&b, `{"kind":"skipped","step":%d}`+"\n", step+5)
		}
	}
	h, err := parseHistory(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	var steps, epochs string
	for _, e := range h.steps {
		steps += fmt.Sprint(e.Step, ":", e.Loss, " ")
	}
	for _, e := range h.epochs {
		epochs += fmt.Sprint(e.Step, ":", e.KNN, " ")
	}
	if want := "10:1 15:NaN 20:1 25:NaN 30:2 35:NaN 40:2 45:NaN "; steps != want || h.skipped() != 4 {
		t.Errorf("got steps %q with %d skipped, want %q with 4", steps, h.skipped(), want)
	}
	if want := "10:1 20:1 30:2 40:2 "; epochs != want {
		t.Errorf("got epochs %q, want %q", epochs, want)
	}
}

// Whatever the bytes, steps rise, and what is there is in order.
func FuzzParseHistory(f *testing.F) {
	f.Add(`{"kind":"step","step":1,"loss":2}` + "\n" + `{"kind":"skipped","step":1}` + "\n" + `{"kind":"epoch","step":1e999}`)
	f.Add(`{"kind":"baseline","knn_pixels":"-Inf"}` + "\nnull\n[]\n\n{")
	f.Add(`{"kind":"step","step":[1,{"a":2}],"loss":true}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHistory(strings.NewReader(text))
		if err != nil {
			return
		}
		for _, entries := range [][]entry{h.steps, h.epochs} {
			for i := 1; i < len(entries); i++ {
				if !(entries[i-1].Step < entries[i].Step) {
					t.Fatalf("step %v comes before step %v", entries[i-1].Step, entries[i].Step)
				}
			}
		}
		if h.skipped() > len(h.steps) {
			t.Fatalf("%d of %d steps are skipped", h.skipped(), len(h.steps))
		}
	})
}
