package train

import (
	"fmt"
	"slices"

	"ibot/method"
	"ibot/torch"
)

// measured is what the parts of a step measure. Each is read at once, or it stays on the device until the step is over.
type measured struct {
	Result
	parts  []*torch.Tensor // on the device: what [method.Terms.Measured] gives, of each part
	sizes  []int           // of parts
	shares []float64       // of the batch
}

// later keeps what a share of the batch measured on the device.
func (m *measured) later(part *torch.Tensor, share float64) {
	m.parts, m.sizes, m.shares = append(m.parts, part.Keep()), append(m.sizes, part.Size(0)), append(m.shares, share)
}

// add adds what a share of the batch measured, as [method.Terms.Measured] has it. It errs where the loss is not finite.
func (m *measured) add(part []float32, share float64) error {
	loss, cls, patch := float64(part[0]), float64(part[1]), float64(part[2])
	if !finite(loss) {
		return fmt.Errorf("the loss is %v ([CLS] %v, patches %v)", loss, cls, patch)
	}
	m.Loss += share * loss
	m.Cls += share * cls
	m.Patch += share * patch
	m.Agreement += share * float64(part[3])
	m.Entropy += share * float64(part[4])
	for _, c := range part[method.MeasuredScalars:] {
		m.Clusters = append(m.Clusters, int(c))
	}
	return nil
}

// doubt is 1 where a loss or the norm of the gradients is not finite, else 0: a scalar on the device.
func (m *measured) doubt(norm *torch.Tensor) *torch.Tensor {
	sum := norm
	for _, p := range m.parts {
		sum = sum.Add(p.Select(0, 0))
	}
	return sum.AllFinite().To(torch.Float32).Neg().AddScalar(1)
}

// read begins to read it all, with more scalars after it, in one transfer.
func (m *measured) read(more ...*torch.Tensor) *torch.Reading {
	all := slices.Clone(m.parts)
	for _, x := range more {
		all = append(all, x.Reshape(1))
	}
	return torch.Cat(all, 0).ReadLater()
}

// take adds what was read of the parts, and returns the scalars after it. It errs where a loss is not finite.
func (m *measured) take(values []float32) (more []float32, err error) {
	more = values
	for i, n := range m.sizes {
		if err == nil {
			err = m.add(more[:n], m.shares[i])
		}
		more = more[n:]
	}
	return more, err
}
