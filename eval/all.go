package eval

import (
	"context"
	"errors"
	"fmt"

	"ibot/torch"
	"ibot/train"
)

// Outcome is what became of a protocol in [All].
type Outcome struct {
	Kind   Kind
	Report Report // nil where it was not run, or failed
	NotRun error  // why the images or the network do not allow it
	Failed error
}

// unfit is the error of a protocol that has no meaning for a network.
type unfit string

func (u unfit) Error() string { return string(u) }

// All runs every registered protocol that the images at dir allow, one after the other. after is called
// with what became of each. Protocols that take very long by default, those with a method Quick, are
// made quick unless published is set.
//
// Only the end of ctx ends it early, with ctx's error.
func (r *Run) All(ctx context.Context, dir string, published bool, after func(Outcome) error) error {
	for _, kind := range Protocols() {
		p := kind.New()
		if quick, ok := p.(interface{ Quick() }); ok && !published {
			quick.Quick()
		}
		o := Outcome{Kind: kind}
		if o.NotRun = Check(p); o.NotRun == nil {
			o.NotRun = p.Open(dir, r.sets())
		}
		if o.NotRun == nil {
			if err := r.load(); err != nil {
				return err
			}
			if o.Report, o.Failed = p.Run(ctx, r); o.Failed != nil {
				o.Report = nil
			}
		}
		if u := unfit(""); errors.As(o.Failed, &u) {
			o.NotRun, o.Failed = o.Failed, nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if errors.Is(o.Failed, torch.ErrOutOfMemory) {
			o.Failed = fmt.Errorf("%w; lower the batch size, now %d", o.Failed, r.BatchSize)
		}
		if err := after(o); err != nil {
			return err
		}
	}
	return nil
}

// Paper is the paper's number for a score of a network, where it has one: that of the same
// architecture on the same images, and of trained features.
func (k Kind) Paper(s Score, net *train.Net) (value float64, ok bool) {
	if s.Set == "" || s.Features != "" && s.Features != Trained {
		return 0, false
	}
	for _, p := range k.Published {
		if p.Set == s.Set && p.Score == s.Name && p.Arch == architecture(net) {
			return p.Value, true
		}
	}
	return 0, false
}

// architecture is the published name of a network's architecture and patch, such as "vit_small/16".
// The name that a foreign file was given says nothing; its widths do.
func architecture(net *train.Net) string {
	c := net.Config
	name := c.Arch
	if c.EmbedDim > 0 || c.Depth > 0 {
		name = fmt.Sprintf("%s of %d x %d", c.Arch, c.Depth, c.EmbedDim)
		for vit, size := range map[string][2]int{
			"vit_tiny": {192, 12}, "vit_small": {384, 12}, "vit_base": {768, 12}, "vit_large": {1024, 24},
		} {
			if size == [2]int{c.EmbedDim, c.Depth} {
				name = vit
			}
		}
	}
	return fmt.Sprintf("%s/%d", name, c.PatchSize)
}
