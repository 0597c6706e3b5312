package eval

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/data"
	"ibot/imaging"
	"ibot/torch"
)

// TestAugmented: an epoch sees each readable image once, as the crops and flips of its stream say,
// with its label; neither workers nor the epochs before change it.
func TestAugmented(t *testing.T) {
	checkLive(t)
	set := photos{n: 25, w: 50, h: 37, channels: 3, bad: []int{11}}
	transform := DefaultTransform(16)
	epoch := func(workers, epoch int) (x [][]float32, labels []int64) {
		t.Helper()
		a := &augmented{ds: set, transform: transform, embed: flatten, batch: 8, workers: workers, device: torch.CPU, seed: 5, bad: map[int]data.BadImage{}}
		err := a.epoch(t.Context(), epoch, 0, func(_ int, batch, classes *torch.Tensor) {
			for _, row := range batch.Unbind(0) {
				x = append(x, row.Floats())
			}
			labels = append(labels, torch.Read[int64](classes)...)
		})
		if err != nil {
			t.Fatal(err)
		}
		if names := a.badNames(); !slices.Equal(names, []string{"11.png"}) {
			t.Errorf("bad: %q", names)
		}
		return x, labels
	}
	x, labels := epoch(1, 3)
	if y, again := epoch(4, 3); !slices.EqualFunc(x, y, slices.Equal) || !slices.Equal(labels, again) {
		t.Error("workers change an epoch")
	}
	if y, _ := epoch(1, 4); slices.EqualFunc(x, y, slices.Equal) {
		t.Error("two epochs are the same")
	}
	if len(x) != 24 {
		t.Fatalf("%d images", len(x))
	}
	flips, at := 0, 0
	for _, i := range (&augmented{seed: 5}).seed.Stream("linear order", 3).Perm(25) {
		im, err := set.Load(i)
		if err != nil {
			continue
		}
		r := (&augmented{seed: 5}).seed.Stream("linear view", 3, i)
		im = im.CropResize(imaging.DrawResizedCrop(r, 50, 37, [2]float64{.08, 1}, [2]float64{.75, 4. / 3}), 16, 16, imaging.Bilinear)
		if r.Bernoulli(.5) {
			im.FlipH()
			flips++
		}
		want := make([]float32, 3*16*16)
		im.ToCHW(want, transform.Mean, transform.Std)
		if !slices.Equal(x[at], want) || labels[at] != int64(set.Label(i)) {
			t.Errorf("image %d is not what its stream says", i)
		}
		at++
	}
	if flips < 5 || flips > 19 {
		t.Errorf("%d of 24 are flipped", flips)
	}
}

func TestAugmentedErrors(t *testing.T) {
	checkLive(t)
	nothing := func(int, *torch.Tensor, *torch.Tensor) {}
	a := augmented{ds: photos{n: 40, w: 32, h: 32, channels: 3, bad: upTo(9)}, transform: DefaultTransform(16), embed: flatten, batch: 8, bad: map[int]data.BadImage{}}
	var many *data.TooManyBad
	if err := a.epoch(t.Context(), 0, 0, nothing); !errors.As(err, &many) {
		t.Errorf("bad images: %v", err)
	}
	a = augmented{ds: photos{n: 9, w: 32, h: 32, channels: 1}, transform: DefaultTransform(16), embed: flatten, batch: 8, bad: map[int]data.BadImage{}}
	if err := a.epoch(t.Context(), 0, 0, nothing); err == nil || !strings.Contains(err.Error(), "has 1 channels, but the network takes 3") {
		t.Errorf("channels: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	a = augmented{ds: photos{n: 99, w: 32, h: 32, channels: 3}, transform: DefaultTransform(16), embed: flatten, batch: 8, bad: map[int]data.BadImage{}}
	if err := a.epoch(ctx, 0, 0, func(int, *torch.Tensor, *torch.Tensor) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestLinearStoresTheBestHead: what --out holds scores what the report says.
func TestLinearStoresTheBestHead(t *testing.T) {
	checkLive(t)
	dir := labelledFolder(t)
	p := newLinear()
	p.Epochs, p.HeadBatch, p.Cached, p.Out = 6, 8, true, filepath.Join(t.TempDir(), "head.safetensors")
	r := goldenRun(t)
	report, err := Evaluate(t.Context(), p, dir, r)
	if err != nil {
		t.Fatal(err)
	}
	got := report.(*LinearReport).Results[0]
	if p.AvgPool != clsAndMeanPatches || p.LastBlocks != 1 || len(got.Heads) != 45 || report.(*LinearReport).Published {
		t.Errorf("avgpool %d, %d blocks, %d heads", p.AvgPool, p.LastBlocks, len(got.Heads))
	}
	c, err := ckpt.Open(p.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Meta["ibot_head"] != "linear" || !strings.HasPrefix(c.Meta["classes"], `["`) || c.Meta["avgpool"] != "2" {
		t.Errorf("%v", c.Meta)
	}
	weight, err := c.Array("linear.weight")
	if err != nil {
		t.Fatal(err)
	}
	bias, err := c.Array("linear.bias")
	if err != nil {
		t.Fatal(err)
	}
	val, err := r.Features(t.Context(), Trained, "val", p.sets.val, p.FeatureSettings)
	if err != nil {
		t.Fatal(err)
	}
	defer val.Close()
	hits := 0
	torch.Scope(func() {
		w, b := torch.FromBytes(weight.Data, torch.Float32, weight.Shape...), torch.FromBytes(bias.Data, torch.Float32, bias.Shape...)
		for i, class := range torch.Read[int64](val.X.Linear(w, b).ArgMax(1)) {
			if int(class) == val.Labels[i] {
				hits++
			}
		}
	})
	if top1 := 100 * float64(hits) / float64(val.Len()); top1 != got.Top1 || got.Top5 != 100 { // of four classes
		t.Errorf("the stored head scores %v, the report says %+v", top1, got)
	}
}

// TestHeldOut: class folders alone are divided, and the report says so.
func TestHeldOut(t *testing.T) {
	checkLive(t)
	dir := filepath.Join(labelledFolder(t), "train")
	p := newLogreg()
	report, err := Evaluate(t.Context(), p, dir, goldenRun(t))
	if err != nil {
		t.Fatal(err)
	}
	got := report.(*LogregReport)
	if got.Train != 12 || got.Queries != 4 || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "has no val: 4 of its 16 images were held out") {
		t.Errorf("%+v", got)
	}
	other := newLogreg()
	other.Seed = 1
	if _, err := Evaluate(t.Context(), other, dir, goldenRun(t)); err != nil {
		t.Fatal(err)
	}
	names := func(p *logregProtocol) (names []string) {
		for i := range p.sets.val.Len() {
			names = append(names, p.sets.val.Name(i))
		}
		return names
	}
	if slices.Equal(names(p), names(other)) {
		t.Error("the seed does not decide which images are held out")
	}
}

// imagenetVal looks like ImageNet's validation set.
type imagenetVal struct{ photos }

func (imagenetVal) Classes() []string {
	names := make([]string, 1000)
	names[0], names[999] = "n01440764", "n15075141"
	return names
}

func TestPaper(t *testing.T) {
	if got := SetName(imagenetVal{photos{n: 50_000}}); got != ImageNet1K {
		t.Errorf("got %q", got)
	}
	for _, n := range []int{49_999, 1_281_167} {
		if got := SetName(imagenetVal{photos{n: n}}); got != "" {
			t.Errorf("%d images: got %q", n, got)
		}
	}
	r := goldenRun(t)
	knn := func(set, features string, dim, depth int) float64 {
		r.Net.Config.EmbedDim, r.Net.Config.Depth, r.Net.Config.PatchSize = dim, depth, 16
		for _, kind := range Protocols() {
			if kind.Name == "knn" {
				value, _ := kind.Paper(Score{"top-1, k = 20", features, 1, set}, r.Net)
				return value
			}
		}
		return 0
	}
	if got := knn(ImageNet1K, Trained, 384, 12); got != 75.2 {
		t.Errorf("ViT-S: %v", got)
	}
	if got := knn(ImageNet1K, Trained, 768, 12); got != 77.1 {
		t.Errorf("ViT-B: %v", got)
	}
	for name, got := range map[string]float64{
		"another set": knn("", Trained, 384, 12), "pixels": knn(ImageNet1K, RawPixels, 384, 12), "another network": knn(ImageNet1K, Trained, 384, 11),
	} {
		if got != 0 {
			t.Errorf("%s: %v", name, got)
		}
	}
	if a := architecture(r.Net); a != "vit_small of 11 x 384/16" {
		t.Errorf("%q", a)
	}
}
