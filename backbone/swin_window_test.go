package backbone

import (
	"testing"

	"ibot/nn"
	"ibot/torch"
)

// Masks are kept, but sizes without end take no memory without end: later ones belong to the scope
// they are made in.
func TestMasksAreKeptUpToABound(t *testing.T) {
	before := torch.Live()
	p := nn.NewPath(0, torch.CPU)
	m, w := newWindowMasks(p), torch.Windows{Side: 7, Shift: 3}
	const size = 29 * 30 * 49 * 49 // numbers of each mask below
	torch.Scope(func() {
		for i := range 20 {
			m.of(w, 200-7*(i%2), 7*(30-i/2)) // 10 widths, two heights
		}
		m.of(w, 8, 8)
	})
	kept := torch.Live() - before
	if kept != len(m.kept) || kept < maxKept/size || kept > 20 || m.size > maxKept {
		t.Errorf("%d masks are kept, %d are listed, %d numbers", kept, len(m.kept), m.size)
	}
	if m.kept[windowsOfMap{w, 2, 2}] == nil {
		t.Error("a small mask is not kept after large ones")
	}
	torch.Scope(func() {
		first := m.of(w, 200, 210)
		if first != m.of(w, 199, 205) {
			t.Error("maps with the same windows have two masks")
		}
	})
	if m.of(torch.Windows{Side: 7}, 200, 210) != nil {
		t.Error("windows that are not shifted have a mask")
	}
	p.Free()
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left", after-before)
	}
}
