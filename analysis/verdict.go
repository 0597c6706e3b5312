package analysis

import (
	"fmt"
	"math"
	"slices"

	"ibot/metrics"
)

// State is how a run is doing, in one word.
type State string

// The states of a run.
const (
	Learning  State = "learning"
	Collapsed State = "collapsed"
	Unstable  State = "unstable"
	Stuck     State = "not learning"
	Unclear   State = "unclear" // too early, or nothing was recorded that tells
)

// Verdict says in plain words how a run is doing, and from which signals.
type Verdict struct {
	State   State    `json:"state"`
	Text    string   `json:"text"` // a sentence or two
	Signals []Signal `json:"signals"`
}

// Signal is one thing that was measured, and what it means.
type Signal struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Meaning string `json:"meaning"`
	Mark    Mark   `json:"mark"`
}

// Mark is how good a sign is.
type Mark string

// The marks of signals.
const (
	Good    Mark = "good"
	Neutral Mark = "neutral"
	Warning Mark = "warning"
	Bad     Mark = "bad"
)

// Where signals turn. There is no theory behind the numbers: they divide the healthy from the failed among
// some hundred small runs (drawn images and CIFAR-10).
const (
	leastSteps      = 20    // recorded,
	leastTrained    = 200   // and made, before anything but a collapse is said
	flatEntropy     = 0.97  // of the most that targets can have: all outputs alike
	fullAgreement   = 0.98  // of student and teacher over two views
	oneClusterNMI   = 5e-4  // the clusters tell nothing at all about the labels
	usedClusters    = 1.5   // as many of equal size, or fewer, are one
	guessedLoss     = 0.995 // of ln K: the student predicts all outputs alike
	knnMargin       = 1.0   // percent above the untrained network that count as learning
	knnDecline      = 2.0   // percent below the best that are worth a word
	lossJump        = 0.3   // above the median of the records before it
	jumpWindow      = 20    // records
	mostJumps       = 3
	gradientOutlier = 20 // times the median
	skippedShare    = 0.001
)

// Judge reads the records of a run in the given folder. used is how many clusters the [CLS] tokens of its images
// are spread over (see [Used]); NaN where that was not measured.
func Judge(run string, used float64) (Verdict, error) {
	h, outputs, err := readRun(run)
	if err != nil {
		return Verdict{}, err
	}
	return judge(h, outputs, used), nil
}

// judge weighs the signals: what has collapsed is not called unstable, and what is unstable not learning.
func judge(h *history, outputs int, used float64) Verdict {
	recorded, made := len(h.steps)-h.skipped(), 0
	if n := len(h.steps); n > 0 {
		made = int(h.steps[n-1].Step)
	}
	checks := []func(*history, int, float64) (Signal, State){
		judgeKNN, judgeTargets, judgeAgreement, judgeClusters, judgeLoss, judgeJumps, judgeSkipped,
	}
	var v Verdict
	found := map[State][]Signal{}
	for _, check := range checks {
		s, state := check(h, outputs, used)
		if s.Name == "" {
			continue // not recorded
		}
		v.Signals = append(v.Signals, s)
		found[state] = append(found[state], s)
	}
	v.State = Unclear
	for _, state := range []State{Collapsed, Unstable, Stuck, Learning} {
		if len(found[state]) > 0 {
			v.State = state
			break
		}
	}
	early := recorded < leastSteps || made < leastTrained
	if early && v.State != Collapsed {
		v.State = Unclear
		v.Text = fmt.Sprintf("Too early to tell: %d steps were made.", made)
		return v
	}
	v.Text = verdictText(v.State, found[v.State])
	return v
}

// verdictText is the verdict in words; the signals are those that led to it.
func verdictText(state State, because []Signal) string {
	reason := ""
	if len(because) > 0 {
		reason = " " + because[0].Meaning
	}
	switch state {
	case Learning:
		return "The network is learning." + reason
	case Collapsed:
		return "The network has collapsed." + reason + " Try a lower teacher temperature, a longer warm-up, or a lower learning rate, and begin anew."
	case Unstable:
		return "Training is unstable." + reason + " Try a lower learning rate, a longer warm-up, or --clip_grad 0.3."
	case Stuck:
		return "The network does not learn what tells the labelled classes apart." + reason + " Look at the views (views.png): can two crops of an image be recognised as the same?"
	}
	return "The records do not tell. Labelled images (--val_data) would give a k-NN score, the surest sign."
}

// tail returns the means of a value over the first and the last tenth of the entries that have it, and how many
// have it.
func tail(entries []entry, value func(*entry) number) (first, last float64, n int) {
	var values []float64
	for i := range entries {
		if v := float64(value(&entries[i])); !math.IsNaN(v) && !math.IsInf(v, 0) {
			values = append(values, v)
		}
	}
	if n = len(values); n == 0 {
		return math.NaN(), math.NaN(), 0
	}
	tenth := max(1, n/10)
	return metrics.Mean(values[:tenth]), metrics.Mean(values[n-tenth:]), n
}

// judgeKNN compares the k-NN score with those that need no training.
func judgeKNN(h *history, _ int, _ float64) (Signal, State) {
	best, last := math.NaN(), math.NaN()
	at := 0
	for i := range h.epochs {
		if knn := float64(h.epochs[i].KNN); !math.IsNaN(knn) {
			if last = knn; !(best >= knn) {
				best, at = knn, int(h.epochs[i].Epoch)+1
			}
		}
	}
	if math.IsNaN(last) {
		return Signal{}, Unclear
	}
	s := Signal{Name: "k-NN on labelled images", Value: fmt.Sprintf("%.1f %%", last), Mark: Neutral}
	untrained, pixels := float64(h.baseline.KNNUntrained), float64(h.baseline.KNNPixels)
	state := Unclear
	switch {
	case math.IsNaN(untrained):
		s.Meaning = "There is no score of the untrained network to compare it with."
	case last < untrained+knnMargin:
		s.Mark, state = Bad, Stuck
		s.Meaning = fmt.Sprintf("The features are no better than those of the untrained network (%.1f %%).", untrained)
	case last > pixels:
		s.Mark, state = Good, Learning
		s.Meaning = fmt.Sprintf("The features beat the untrained network (%.1f %%) and raw pixels (%.1f %%).", untrained, pixels)
	default:
		s.Mark, state = Neutral, Learning
		s.Meaning = fmt.Sprintf("The features beat the untrained network (%.1f %%), but not raw pixels (%.1f %%) yet.", untrained, pixels)
	}
	if best-last > knnDecline {
		s.Mark = Warning
		s.Meaning += fmt.Sprintf(" They were better after epoch %d (%.1f %%); its checkpoint is checkpoints/best.safetensors.", at, best)
	}
	return s, state
}

// judgeTargets looks at the entropy of the teacher's targets: as high as can be, they say nothing.
func judgeTargets(h *history, outputs int, _ float64) (Signal, State) {
	_, entropy, n := tail(h.steps, func(e *entry) number { return e.Entropy })
	_, agreement, _ := tail(h.steps, func(e *entry) number { return e.Acc })
	if n == 0 || outputs < 2 {
		return Signal{}, Unclear
	}
	share := entropy / math.Log(float64(outputs))
	s := Signal{Name: "Entropy of the teacher's targets", Value: fmt.Sprintf("%.0f %% of the most", 100*share), Mark: Good}
	switch {
	case share >= flatEntropy:
		s.Mark, s.Meaning = Bad, fmt.Sprintf("The teacher's targets are flat: all %d outputs are alike for every image.", outputs)
		return s, Collapsed
	case share <= 1-flatEntropy && agreement >= fullAgreement:
		s.Mark, s.Meaning = Bad, "The targets are a single output, and the student always gives it."
		return s, Collapsed
	}
	s.Meaning = "The targets are neither flat nor a single output."
	return s, Unclear
}

// judgeAgreement looks at how often student and teacher put two views of an image into one cluster.
func judgeAgreement(h *history, outputs int, _ float64) (Signal, State) {
	first, last, n := tail(h.steps, func(e *entry) number { return e.Acc })
	if n == 0 {
		return Signal{}, Unclear
	}
	_, nmi, labelled := tail(h.epochs, func(e *entry) number { return e.NMI })
	s := Signal{Name: "Agreement of student and teacher", Value: fmt.Sprintf("%.0f %%", 100*last), Mark: Neutral}
	switch {
	case labelled > 0 && nmi < oneClusterNMI:
		s.Mark, s.Meaning = Bad, "Nearly all images are in one cluster: the clusters have nothing in common with the labels."
		return s, Collapsed
	case last >= fullAgreement && !(nmi > 0.01):
		s.Mark, s.Meaning = Warning, "Student and teacher always agree, which a single cluster would explain too."
		return s, Unclear
	case outputs >= 2 && last < 3/float64(outputs):
		s.Mark, s.Meaning = Warning, "Two views of an image hardly ever come into the same cluster, no more often than by chance."
		return s, Unclear
	case last > first:
		s.Mark, s.Meaning = Good, fmt.Sprintf("Two views of an image come into the same cluster more often than at the start (%.0f %%).", 100*first)
	default:
		s.Meaning = fmt.Sprintf("Two views of an image come into the same cluster as often as at the start or less (%.0f %%).", 100*first)
	}
	if labelled > 0 {
		s.Meaning += fmt.Sprintf(" The clusters share %.2f of the labels' information (NMI).", nmi)
	}
	return s, Unclear
}

// judgeClusters looks at how many clusters the images are spread over.
func judgeClusters(_ *history, outputs int, used float64) (Signal, State) {
	if math.IsNaN(used) {
		return Signal{}, Unclear
	}
	s := Signal{Name: "Clusters in use", Value: fmt.Sprintf("%.0f of %d", used, outputs), Mark: Good}
	if used <= usedClusters {
		s.Mark, s.Meaning = Bad, "All images are in one cluster."
		return s, Collapsed
	}
	s.Meaning = fmt.Sprintf("The images are spread as widely as over %.0f clusters of equal size.", used)
	return s, Unclear
}

// judgeLoss looks at the [CLS] term, for the patch term begins late in some runs. A loss that rises is no bad
// sign by itself: the targets get harder as the teacher gets better.
func judgeLoss(h *history, outputs int, _ float64) (Signal, State) {
	first, last, n := tail(h.steps, func(e *entry) number { return e.Cls })
	if n == 0 {
		return Signal{}, Unclear
	}
	s := Signal{Name: "Loss of [CLS]", Value: fmt.Sprintf("%.3g → %.3g", first, last), Mark: Neutral}
	most := math.Log(float64(max(outputs, 2)))
	_, _, labelled := tail(h.epochs, func(e *entry) number { return e.KNN })
	switch {
	case outputs >= 2 && math.Abs(last/most-1) < 1-guessedLoss:
		s.Mark, s.Meaning = Bad, fmt.Sprintf("It is that of a student that predicts all outputs alike (ln %d = %.2f).", outputs, most)
		return s, Collapsed
	case last < 0.98*first:
		s.Mark, s.Meaning = Good, "The student predicts the teacher better than at the start."
		if labelled == 0 {
			return s, Learning // there is no surer sign
		}
	default:
		s.Meaning = "It has not fallen, which is no bad sign by itself: targets get harder as the teacher gets better."
	}
	return s, Unclear
}

// judgeJumps counts sudden rises of the loss and outliers of the gradient, warm-up left out.
func judgeJumps(h *history, _ int, _ float64) (Signal, State) {
	var losses, gradients []float64
	for i := range h.steps {
		if e := &h.steps[i]; !math.IsNaN(float64(e.Loss)) {
			losses, gradients = append(losses, float64(e.Cls)), append(gradients, float64(e.GradNorm))
		}
	}
	if len(losses) < 2*jumpWindow {
		return Signal{}, Unclear
	}
	jumps := 0
	for i := jumpWindow; i < len(losses); i++ {
		if i >= len(losses)/5 && losses[i] > (1+lossJump)*metrics.Percentile(losses[i-jumpWindow:i], 50) {
			jumps++
		}
	}
	settled := gradients[len(gradients)/5:]
	outlier := slices.Max(settled) / metrics.Percentile(settled, 50)
	s := Signal{Name: "Jumps of the loss", Value: fmt.Sprint(jumps), Mark: Good, Meaning: "The loss goes its way without jumps."}
	switch {
	case jumps > max(mostJumps, len(losses)/50):
		s.Mark, s.Meaning = Bad, fmt.Sprintf("The loss jumped up by more than %.0f %% after %d of %d records.", 100*lossJump, jumps, len(losses))
		if first, last, labelled := tail(h.epochs, func(e *entry) number { return e.KNN }); labelled > 0 && last >= first {
			s.Mark, s.Meaning = Warning, s.Meaning+" The k-NN score did not suffer."
			return s, Unclear
		}
		return s, Unstable
	case outlier > gradientOutlier:
		s.Mark, s.Meaning = Warning, fmt.Sprintf("One gradient was %.0f times as long as usual; clipping is there for that.", outlier)
	case jumps > 0:
		s.Mark, s.Meaning = Neutral, "A few jumps are no harm."
	}
	return s, Unclear
}

// judgeSkipped looks at steps that were not made because a number was not finite.
func judgeSkipped(h *history, _ int, _ float64) (Signal, State) {
	n := h.skipped()
	s := Signal{Name: "Steps skipped", Value: fmt.Sprint(n), Mark: Good, Meaning: "Loss and gradients were finite in every step."}
	if n == 0 {
		return s, Unclear
	}
	last := float64(h.steps[len(h.steps)-1].Step)
	s.Mark, s.Meaning = Warning, "Some steps had a loss or a gradient that was not finite, and were not made."
	if float64(n) > max(mostJumps, skippedShare*last) {
		s.Mark, s.Meaning = Bad, fmt.Sprintf("%d steps had a loss or a gradient that was not finite.", n)
		return s, Unstable
	}
	return s, Unclear
}
