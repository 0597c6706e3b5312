package analysis

import (
	"fmt"

	"ibot/imaging"
	"ibot/method"
	"ibot/rng"
)

// Match is a patch of one picture and the patch of another that the network takes for the same.
type Match struct {
	From, To int     // numbers of the patches in their grids
	Score    float64 // the scalar product of their tokens
	True     int     // the patch that shows the same place; -1 where that is not known or not in the picture
	Weight   float64 // what matches are chosen by for the drawing
}

// Matches finds for each patch of a the patch of b with the largest scalar product of tokens; of equal
// ones the first. As in the reference's visualize_correspondence.py, tokens are not normalised.
func Matches(a, b *Patches) []Match {
	matches := make([]Match, a.Len())
	for i := range matches {
		m := Match{From: i, True: -1}
		for j := range b.Len() {
			if s := dot(a.Row(i), b.Row(j)); j == 0 || s > m.Score {
				m.To, m.Score = j, s
			}
		}
		matches[i] = m
	}
	return matches
}

// TrueMatches tells for each patch of view a, which has rows x cols of them, the patch of view b of the
// same image whose middle is nearest to its own, and -1 where its middle lies outside of b.
func TrueMatches(a, b method.View, rows, cols int) []int {
	out := make([]int, rows*cols)
	for i := range out {
		y := middle(i/cols, rows, a.Box.Top, a.Box.Height, false)
		x := middle(i%cols, cols, a.Box.Left, a.Box.Width, a.Flip)
		row, col := cell(y, rows, b.Box.Top, b.Box.Height, false), cell(x, cols, b.Box.Left, b.Box.Width, b.Flip)
		if out[i] = -1; row >= 0 && col >= 0 {
			out[i] = row*cols + col
		}
	}
	return out
}

// middle is the place in the image, along one axis, of the middle of patch i of n that a crop was cut into.
func middle(i, n, from, length int, flip bool) float64 {
	if flip {
		i = n - 1 - i
	}
	return float64(from) + (float64(i)+0.5)/float64(n)*float64(length)
}

// cell is the patch of n that a place of the image lies in, and so the one whose middle is nearest; -1
// outside of the crop.
func cell(at float64, n, from, length int, flip bool) int {
	i := (at - float64(from)) / float64(length) * float64(n)
	if i < 0 || i >= float64(n) {
		return -1
	}
	if flip {
		return n - 1 - int(i)
	}
	return int(i)
}

// Right reports whether the match is at most radius rows and columns from the true one, in a grid of
// cols columns. Without a true one it is not.
func (m Match) Right(radius, cols int) bool {
	near := func(a, b int) bool { return a-b <= radius && b-a <= radius }
	return m.True >= 0 && near(m.To/cols, m.True/cols) && near(m.To%cols, m.True%cols)
}

// viewsOf draws two views of an image as the reference's correspondence does: random resized crops of 40
// to 100 % of the area, flipped with probability 0.5, colours jittered with 0.8 and gray with 0.2.
func viewsOf(seed rng.Seed, index, w, h, size int) (views [2]method.View) {
	for v := range views {
		r := seed.Stream("correspondence", index, v)
		view := method.View{Size: size, Box: imaging.DrawResizedCrop(r, w, h, [2]float64{0.4, 1}, [2]float64{3. / 4, 4. / 3})}
		view.Flip = r.Bernoulli(0.5)
		if r.Bernoulli(0.8) {
			j := imaging.DrawJitter(r, 0.4, 0.4, 0.2, 0.1)
			view.Jitter = &j
		}
		view.Gray = r.Bernoulli(0.2)
		views[v] = view
	}
	return views
}

// pair is two pictures with the matches between their patches.
type pair struct {
	name    string
	images  [2]*imaging.Image
	patches [2]*Patches
	matches []Match
}

// matchViews matches two views of an image, whose true matches are known.
func (n *Net) matchViews(seed rng.Seed, s Shown, size int) (*pair, error) {
	views := viewsOf(seed, s.Index, s.Image.W, s.Image.H, size)
	p := &pair{name: s.Name}
	for v, view := range views {
		p.images[v] = view.Render(s.Image)
	}
	if err := n.match(p); err != nil {
		return nil, err
	}
	grid := p.patches[0]
	for i, to := range TrueMatches(views[0], views[1], grid.Rows, grid.Cols) {
		p.matches[i].True = to
	}
	return p, nil
}

// matchImages matches two images.
func (n *Net) matchImages(a, b Shown, size int) (p *pair, err error) {
	p = &pair{name: a.Name + " and " + b.Name}
	if a.Label >= 0 && a.Label == b.Label {
		p.name = a.Name
	}
	for v, s := range []Shown{a, b} {
		if p.images[v], err = n.frame(s.Image, size); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return p, n.match(p)
}

// match finds the matches between the pictures of p, each with the attention of [CLS] to its patch as its
// weight, or where there is none with its score.
func (n *Net) match(p *pair) (err error) {
	for v, im := range p.images {
		if p.patches[v], err = n.Patches(im); err != nil {
			return err
		}
	}
	p.matches = Matches(p.patches[0], p.patches[1])
	maps, err := Attention(n.Backbone, p.images[:1], n.Mean, n.Std, n.Device)
	for i := range p.matches {
		if p.matches[i].Weight = p.matches[i].Score; err == nil {
			p.matches[i].Weight = maps[0].Mean()[i]
		}
	}
	return nil
}
