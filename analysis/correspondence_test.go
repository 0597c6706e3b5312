package analysis

import (
	"image/color"
	"math"
	"testing"

	"ibot/imaging"
	"ibot/method"
)

// Over 50 images matches, true matches and accuracy equal a plain computation: every product of every pair of tokens,
// and the distances between the middles of all patches in the image.
func TestCorrespondenceAsPlain(t *testing.T) {
	in := studied(t, 50)
	shown, err := in.choose(t.Context(), 50)
	if err != nil || len(shown) != 50 {
		t.Fatal(len(shown), err)
	}
	right, known := 0, 0
	for _, one := range shown {
		p, err := in.Net.matchViews(in.Seed, one, 32)
		if err != nil {
			t.Fatal(err)
		}
		views := viewsOf(in.Seed, one.Index, one.Image.W, one.Image.H, 32)
		a, b := p.patches[0], p.patches[1]
		middle := func(v method.View, i int) (x, y float64) {
			col := float64(i%4) + .5
			if v.Flip {
				col = 4 - col
			}
			return float64(v.Box.Left) + col/4*float64(v.Box.Width), float64(v.Box.Top) + (float64(i/4)+.5)/4*float64(v.Box.Height)
		}
		imageRight, imageKnown := 0, 0
		for i, m := range p.matches {
			best, most := 0, math.Inf(-1)
			nearest, least := -1, math.Inf(1)
			x, y := middle(views[0], i)
			box := views[1].Box
			inside := x >= float64(box.Left) && x < float64(box.Left+box.Width) && y >= float64(box.Top) && y < float64(box.Top+box.Height)
			for j := range 16 {
				var product float64
				for d := range a.Dim {
					product += float64(a.X[i*a.Dim+d]) * float64(b.X[j*b.Dim+d])
				}
				if product > most {
					best, most = j, product
				}
				u, v := middle(views[1], j)
				if distance := math.Hypot((x-u)/float64(box.Width), (y-v)/float64(box.Height)); inside && distance < least-1e-9 {
					nearest, least = j, distance
				}
			}
			if m.From != i || m.To != best || math.Abs(m.Score-most) > 1e-6 {
				t.Fatalf("%s: match %d is %+v, want patch %d with %v", one.Name, i, m, best, most)
			}
			if m.True != nearest && !tied(views[1], m.True, nearest, x, y, middle) {
				t.Fatalf("%s: the true match of %d is %d, want %d", one.Name, i, m.True, nearest)
			}
			if m.True >= 0 {
				imageKnown++
				if m.True == best {
					imageRight++
				}
			}
		}
		accuracy, chance, of := p.accuracy(0)
		if of != imageKnown || of > 0 && math.Abs(accuracy-float64(imageRight)/float64(imageKnown)) > 1e-12 || of > 0 && math.Abs(chance-1./16) > 1e-12 {
			t.Errorf("%s: accuracy %v of %d, chance %v; want %d of %d and 1/16", one.Name, accuracy, of, chance, imageRight, imageKnown)
		}
		right, known = right+imageRight, known+imageKnown
	}
	if known < 100 || right == 0 {
		t.Errorf("%d of %d patches are right: too few for a test", right, known)
	}
}

// tied reports whether two patches are equally far from a place.
func tied(v method.View, i, j int, x, y float64, middle func(method.View, int) (float64, float64)) bool {
	if i < 0 || j < 0 {
		return false
	}
	ux, uy := middle(v, i)
	wx, wy := middle(v, j)
	return math.Abs(math.Hypot(ux-x, uy-y)-math.Hypot(wx-x, wy-y)) < 1e-9
}

func TestTrueMatches(t *testing.T) {
	whole := method.View{Box: imaging.Box{Width: 40, Height: 40}}
	flipped := whole
	flipped.Flip = true
	left := method.View{Box: imaging.Box{Left: 0, Width: 20, Height: 40}}
	for _, c := range []struct {
		name string
		a, b method.View
		want []int
	}{
		{"the same", whole, whole, []int{0, 1, 2, 3}},
		{"flipped", whole, flipped, []int{1, 0, 3, 2}},
		{"both flipped", flipped, flipped, []int{0, 1, 2, 3}},
		{"left half", left, whole, []int{0, 0, 2, 2}},
		{"into the left half", whole, left, []int{1, -1, 3, -1}},
	} {
		got := TrueMatches(c.a, c.b, 2, 2)
		for i := range got {
			if got[i] != c.want[i] {
				t.Errorf("%s: got %v, want %v", c.name, got, c.want)
				break
			}
		}
	}
	m := Match{To: 5, True: 10} // rows 1 and 2, columns 1 and 2 of four
	if m.Right(0, 4) || !m.Right(1, 4) || (Match{To: 3, True: 4}).Right(1, 4) || (Match{To: 3, True: -1}).Right(9, 4) {
		t.Error("a match is right within its radius of rows and columns, and never without a true one")
	}
}

// The line of a right match is blue and ends in the middle of its patches.
func TestPairDraw(t *testing.T) {
	gray := uniform(32, 32, color.NRGBA{90, 90, 90, 255})
	p := &pair{images: [2]*imaging.Image{gray, gray}, patches: [2]*Patches{{Rows: 2, Cols: 2}, {Rows: 2, Cols: 2}}}
	p.matches = []Match{{From: 0, To: 3, True: 3, Weight: 1}, {From: 3, To: 0, True: 3, Weight: .5}, {From: 1, To: 1, True: -1, Weight: 9}}
	img := p.draw(12, 0)
	if img.Rect.Dx() != 2*pairHeight+pairGap || img.Rect.Dy() != pairHeight {
		t.Fatalf("got %v", img.Rect)
	}
	blue, orange := color.NRGBA{0x00, 0x72, 0xb2, 0xff}, color.NRGBA{0xd5, 0x5e, 0x00, 0xff}
	for _, c := range []struct {
		x, y int
		want color.NRGBA
	}{
		{64, 64, blue},
		{pairHeight + pairGap + 192, 192, blue},
		{192, 192, orange},
		{pairHeight + pairGap + 64, 64, orange},
		{192, 64, color.NRGBA{90, 90, 90, 255}}, // its true match is not in the other view, so it is not drawn
	} {
		if got := img.NRGBAAt(c.x, c.y); got != c.want {
			t.Errorf("at %d, %d: got %v, want %v", c.x, c.y, got, c.want)
		}
	}
}
