package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ibot/ckpt"
	"ibot/exchange"
	"ibot/internal/golden"
	"ibot/nn"
	"ibot/torch"
	"ibot/train"
)

const foreign = "testdata/foreign/"

// noLeak fails the test if tensors are alive at its end that were not at its start.
func noLeak(t *testing.T) {
	t.Helper()
	before := torch.Live()
	t.Cleanup(func() {
		if after := torch.Live(); after != before {
			t.Errorf("%d tensors alive, %d before", after, before)
		}
	})
}

// expect runs the network of a file and compares it with what another library made of the images.
func expect(t *testing.T, path, expected string) {
	t.Helper()
	want, err := ckpt.Open(expected)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	tensor := func(name string) *torch.Tensor {
		a, err := want.Array(name)
		if err != nil {
			t.Fatal(err)
		}
		return torch.FromBytes(a.Data, torch.Float32, a.Shape...)
	}
	net, err := train.OpenNet(path, "teacher", torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	err = torch.Run(func() error {
		torch.NoGrad(func() {
			tokens := net.Backbone.Forward(nn.Eval, tensor("images"), nil)
			golden.Equal(t, expected+" [CLS]", tokens.Select(1, 0), tensor("cls"), golden.Tolerance{Abs: 2e-5})
			golden.Equal(t, expected+" patches", tokens.From(1, 1), tensor("patches"), golden.Tolerance{Abs: 2e-5})
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// networks are the files of testdata/foreign.
var networks = []string{
	"timm.pth", "timm_reg_swiglu.safetensors", "hf_vit", "hf_dinov2", "hf_dinov2_reg", "hf_memory_bf16.pth", "dinov2_reg.pth", "dinov2_swiglu.pth",
}

// stem is a file's name without its ending.
func stem(name string) string { return strings.TrimSuffix(name, filepath.Ext(name)) }

// TestForeignNetworks reads networks as timm, transformers and DINOv2 save them, and gets the outputs
// that those libraries get.
func TestForeignNetworks(t *testing.T) {
	noLeak(t)
	for _, name := range networks {
		t.Run(name, func(t *testing.T) {
			expect(t, foreign+name, foreign+stem(name)+".expected.safetensors")
			if other := foreign + stem(name) + "_24x20.expected.safetensors"; strings.HasPrefix(name, "dinov2") {
				expect(t, foreign+name, other)
			}
		})
	}
}

// options converts a file of testdata/foreign.
func options(in, out, to string) exchange.Options {
	return exchange.Options{
		In: in, Out: out, To: to, Net: "teacher", WrittenBy: "a test", Log: slog.New(slog.DiscardHandler),
		Extra: []string{"head.*", "pooler.*", "masked_embed"},
	}
}

// endings are what the names of the formats end in.
var endings = map[string]string{
	"safetensors": ".safetensors", "reference": ".pth", "backbone": ".pth", "timm": ".safetensors", "hf": "", "onnx": ".onnx",
}

// refusals are the networks that a format has no form for.
var refusals = map[string]string{
	"timm_reg_swiglu.safetensors to hf": "MLP of width",
	"hf_vit to backbone":                "eps 0.001, which backbone does not keep",
	"hf_vit to reference":               "eps 0.001, which reference does not keep",
	"hf_vit to timm":                    "eps 0.001, which timm does not keep",
}

// TestConvertForeignNetworks converts every network into every format. Each conversion proves itself; and
// what this program can read back still gives what the first library got.
//
// With IBOT_PYTHON, an interpreter that has PyTorch, timm, transformers and onnxruntime, these run the
// results too.
func TestConvertForeignNetworks(t *testing.T) {
	noLeak(t)
	python := os.Getenv("IBOT_PYTHON")
	if python == "" {
		t.Log("IBOT_PYTHON is not set: the results are run by this program alone, not by PyTorch, timm, transformers and onnxruntime")
	}
	for _, name := range networks {
		for _, to := range exchange.Formats() {
			t.Run(name+" to "+to, func(t *testing.T) {
				o := options(foreign+name, filepath.Join(t.TempDir(), "out"+endings[to]), to)
				r, err := exchange.Convert(t.Context(), o)
				if want, refused := refusals[name+" to "+to]; refused {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("got %v, want %q", err, want)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !r.Proof.Ran || r.Proof.Cls > exchange.Tolerance || r.Proof.Patches > exchange.Tolerance {
					t.Errorf("the proof is %+v", r.Proof)
				}
				if to != "onnx" && !(to == "safetensors" && strings.HasPrefix(name, "hf_")) { // heads of a folder are not in its arrays
					expect(t, o.Out, foreign+stem(name)+".expected.safetensors")
				}
				c, err := ckpt.Open(o.Out)
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if c.Meta["proof"] != r.Proof.String() || c.Writer() != "a test" {
					t.Errorf("the file says %q by %q, want %q", c.Meta["proof"], c.Writer(), r.Proof)
				}
				if python == "" || to == "safetensors" || to == "reference" { // which keep the names they came with
					return
				}
				if _, err := exchange.VerifyWithPython(t.Context(), o, python); errors.Is(err, exchange.ErrMissingLibrary) {
					t.Log(err)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestConvertTheReference: the reference's full checkpoint, through safetensors and back.
func TestConvertTheReference(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	in := golden.Path(t, "a_vit_ckpt.pth")
	middle, last := filepath.Join(dir, "a.safetensors"), filepath.Join(dir, "b.pth")
	for _, o := range []exchange.Options{options(in, middle, "safetensors"), options(middle, last, "reference")} {
		o.NumHeads = 4
		if r, err := exchange.Convert(t.Context(), o); err != nil {
			t.Fatal(err)
		} else if r.Proof.Bits != 260 || !r.Proof.Ran || r.Proof.Cls != 0 || r.Proof.Patches != 0 {
			t.Errorf("%s: %+v", o.To, r.Proof)
		}
	}
	a, err := ckpt.Open(in)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := ckpt.Open(last)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if r := ckpt.Diff(a, b); !r.Equal() || r.Reordered {
		t.Error(r)
	}
}

// TestONNXOfAnySize takes images of another size than the network's, with the positions resampled in
// the model.
func TestONNXOfAnySize(t *testing.T) {
	noLeak(t)
	for _, name := range networks {
		o := options(foreign+name, filepath.Join(t.TempDir(), "out.onnx"), "onnx")
		o.Dynamic = true
		r, err := exchange.Convert(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(r.Proof.Input, []int{2, 3, 24, 20}) {
			t.Errorf("%s: run on %v", name, r.Proof.Input)
		}
	}
}

// TestResample brings the positions to another size, and says so.
func TestResample(t *testing.T) {
	noLeak(t)
	o := options(foreign+"dinov2_reg.pth", filepath.Join(t.TempDir(), "out.pth"), "backbone")
	o.ImgSize = 24
	r, err := exchange.Convert(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Notes, func(s string) bool { return strings.Contains(s, "from 4x4 to 6x6") }) {
		t.Errorf("the notes are %q", r.Notes)
	}
	c, err := ckpt.Open(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if s, err := c.Spec("state_dict.pos_embed"); err != nil || fmt.Sprint(s.Shape) != "[1 37 16]" {
		t.Errorf("positions %v, %v", s.Shape, err)
	}
	o.ImgSize, o.Out = 25, o.Out+".pth"
	if _, err := exchange.Convert(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no multiple of the patch size") {
		t.Errorf("25 pixels: %v", err)
	}
}

// TestLeftovers: names of one side alone are errors that list each with the nearest name.
func TestLeftovers(t *testing.T) {
	noLeak(t)
	full, err := ckpt.Open(foreign + "timm.pth")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	changed := ckpt.New()
	for _, name := range full.Names() {
		a, err := full.Array(name)
		if err != nil {
			t.Fatal(err)
		}
		to := strings.Replace(name, "blocks.1.attn.qkv.bias", "blocks.1.attn.qkv.bais", 1)
		if err := changed.Add(to, a); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	in := filepath.Join(dir, "in.safetensors")
	if err := ckpt.Write(in, changed); err != nil {
		t.Fatal(err)
	}
	o := options(in, filepath.Join(dir, "out.pth"), "backbone")
	o.Extra = nil
	_, err = exchange.Convert(t.Context(), o)
	for _, want := range []string{
		`in the file alone (--allow_extra): "blocks.1.attn.qkv.bais" (nearest: "blocks.1.attn.qkv.bias"), "head.weight"`, `"head.bias"`,
		`in the network alone (--allow_missing): "blocks.1.attn.qkv.bias" (nearest: "blocks.1.attn.qkv.bais")`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	o.Extra, o.Missing = []string{"head.*", "*.bais"}, []string{"*.bias"}
	if _, err := exchange.Convert(t.Context(), o); err != nil {
		t.Errorf("with the exceptions: %v", err)
	}
}

// TestConvertRefuses: what cannot be written is an error that leaves what was there, and nothing else.
func TestConvertRefuses(t *testing.T) {
	noLeak(t)
	dir := t.TempDir()
	there := filepath.Join(dir, "there.pth")
	if err := os.WriteFile(there, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	nan := filepath.Join(dir, "nan.safetensors")
	breakWeights(t, nan)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		o    exchange.Options
		want string
	}{
		"a file that is there": {t.Context(), options(foreign+"timm.pth", there, "backbone"), "--force"},
		"itself":               {t.Context(), options(there, there, "backbone"), "replace itself"},
		"another ending":       {t.Context(), options(foreign+"timm.pth", filepath.Join(dir, "x.onnx"), "timm"), "ends in .safetensors or .pth"},
		"an unknown format":    {t.Context(), options(foreign+"timm.pth", filepath.Join(dir, "x"), "onxn"), `did you mean "onnx"?`},
		"no such folder":       {t.Context(), options(foreign+"timm.pth", filepath.Join(dir, "no", "x.pth"), "backbone"), "make the folder first"},
		"no transformer":       {t.Context(), options(there, filepath.Join(dir, "x.pth"), "backbone"), "no checkpoint"},
		"NaN":                  {t.Context(), options(nan, filepath.Join(dir, "x.pth"), "backbone"), "are the weights finite?"},
		"an interruption":      {cancelled, options(foreign+"timm.pth", filepath.Join(dir, "x.pth"), "backbone"), "canceled"},
	} {
		if _, err := exchange.Convert(tc.ctx, tc.o); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "precious" {
		t.Errorf("the file that was there: %q, %v", text, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("the folder has %d entries, want the two files: %v", len(entries), err)
	}
	o := options(foreign+"timm.pth", there, "backbone")
	o.Force = true
	if _, err := exchange.Convert(t.Context(), o); err != nil {
		t.Errorf("by force: %v", err)
	}
}

// breakWeights writes a network with a weight that is no number.
func breakWeights(t *testing.T, path string) {
	t.Helper()
	full, err := ckpt.Open(foreign + "timm.pth")
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	broken := ckpt.New()
	for _, name := range full.Names() {
		a, err := full.Array(name)
		if err != nil {
			t.Fatal(err)
		}
		if a = a.Clone(); name == "blocks.0.mlp.fc1.bias" {
			copy(a.Data, []byte{0, 0, 0xc0, 0x7f})
		}
		if err := broken.Add(name, a); err != nil {
			t.Fatal(err)
		}
	}
	if err := ckpt.Write(path, broken); err != nil {
		t.Fatal(err)
	}
}

func ExampleFormats() {
	fmt.Println(exchange.Formats())
	// Output: [backbone hf onnx reference safetensors timm]
}
