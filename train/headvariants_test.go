package train_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
	"ibot/train"
)

// variant writes one of the reference's heads as it would stand in a checkpoint. Arrays for which
// keep is false are left out.
func variant(t *testing.T, name string, keep func(array string) bool) string {
	t.Helper()
	f, err := ckpt.Open(golden.Path(t, "a2_heads.npz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := ckpt.New()
	for _, key := range f.Names() {
		array, ok := strings.CutPrefix(key, name+"/w/")
		if !ok || !keep(array) {
			continue
		}
		a, err := f.Array(key)
		if err == nil {
			err = out.Add("teacher.head."+array, a)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "head.safetensors")
	if err := ckpt.Write(path, out); err != nil {
		t.Fatal(err)
	}
	return path
}

func all(string) bool { return true }

// Heads of foreign checkpoints are built from their shapes and give the reference's logits.
func TestLoadHeadVariants(t *testing.T) {
	before := torch.Live()
	f := golden.Open(t, "a2_heads.npz")
	for _, name := range []string{"shared", "unshared", "trainable_g", "bn", "nobottleneck"} {
		t.Run(name, func(t *testing.T) {
			net := train.Net{Source: variant(t, name, all), Prefix: "teacher.backbone."}
			if err := net.LoadHead(torch.CPU); err != nil {
				t.Fatal(err)
			}
			defer net.Close()
			h := net.Head
			if h.OutDim != 128 || h.InDim != 64 || h.Layers != 3 {
				t.Errorf("got %+v", h.HeadConfig)
			}
			torch.Scope(func() {
				torch.NoGrad(func() {
					if name == "bn" { // the golden's statistics are those after one step of training
						h.Forward(nn.Mode{Train: true}, f.Tensor("x3"))
					}
					got := h.ClsLogits(h.Embed(nn.Eval, f.Tensor("x2")))
					golden.Equal(t, "logits", got, f.Tensor(name+"/y2d_eval"), golden.Tolerance{Abs: 1e-5})
				})
			})
		})
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}

// A head whose patches have no last layer of their own, as DINO's, is complete.
func TestLoadHeadOfDINO(t *testing.T) {
	without := func(array string) bool { return !strings.HasPrefix(array, "last_layer2") }
	net := train.Net{Source: variant(t, "unshared", without), Prefix: "teacher.backbone."}
	if err := net.LoadHead(torch.CPU); err != nil {
		t.Fatal(err)
	}
	net.Close()
}

func TestLoadHeadErrors(t *testing.T) {
	before := torch.Live()
	for _, c := range []struct {
		name, path, prefix, want string
		none                     bool
	}{
		{"backbone alone", golden.Path(t, "a_vit_init.npz"), "backbone.", "no projection head", true},
		{"other prefix", variant(t, "shared", all), "", "no projection head", true},
		{"no file", "nowhere.pth", "teacher.backbone.", "nowhere.pth", false},
		{"a layer is missing", variant(t, "shared", func(a string) bool { return a != "mlp.2.bias" }), "teacher.backbone.", "mlp.2.bias", false},
		{"no norms of the rows", variant(t, "shared", func(a string) bool { return a != "last_layer.weight_v" }), "teacher.backbone.", "last_layer.weight_g", false},
	} {
		net := train.Net{Source: c.path, Prefix: c.prefix}
		err := net.LoadHead(torch.CPU)
		if err == nil {
			net.Close()
			t.Errorf("%s: no error", c.name)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || errors.Is(err, train.ErrNoHead) != c.none {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if after := torch.Live(); after != before {
		t.Errorf("%d tensors are left alive", after-before)
	}
}
