package train

import (
	"errors"
	"testing"

	"ibot/ckpt"
	"ibot/method"
	"ibot/torch"
)

// The head of the reference's checkpoint is read as its file has it, and of a file without one the
// error says so.
func TestLoadHead(t *testing.T) {
	alive := torch.Live()
	const path = "../testdata/goldens/a_vit_ckpt.pth"
	for _, which := range []string{"teacher", "student"} {
		net, err := OpenNet(path, which, torch.CPU)
		if err != nil {
			t.Fatal(err)
		}
		if err := net.LoadHead(torch.CPU); err != nil {
			t.Fatal(err)
		}
		c := net.Head.HeadConfig
		if c.InDim != 64 || c.HiddenDim != 96 || c.BottleneckDim != 48 || c.OutDim != 128 || c.PatchOutDim != 128 || c.Layers != 3 || c.Norm != "" {
			t.Errorf("%s: got %+v", which, c)
		}
		f, err := ckpt.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range net.head.State() {
			name := map[string]string{"teacher": "teacher.head.", "student": "student.module.head."}[which] + s.Name
			a, err := f.Array(name)
			if err != nil {
				t.Fatal(err)
			}
			if string(a.Data) != string(s.Bytes()) {
				t.Errorf("%s differs from the file", name)
			}
		}
		cls, patches, err := net.Centers()
		if err != nil || len(cls) != 128 || len(patches) != 128 {
			t.Errorf("%s: centers of %d and %d values, %v; want 128 of both", which, len(cls), len(patches), err)
		}
		f.Close()
		net.Close()
	}
	if got := torch.Live(); got != alive {
		t.Errorf("%d tensors are alive, want %d", got, alive)
	}
}

// Every kind of head that can be trained is recognised by its shapes alone.
func TestInferHead(t *testing.T) {
	for _, c := range []struct {
		name       string
		set        func(c *Config)
		norm       string
		bottleneck int
	}{
		{"plain", func(*Config) {}, "", 8},
		{"batch norm", func(c *Config) { c.NormInHead = "bn" }, "bn", 8},
		{"layer norm", func(c *Config) { c.NormInHead = "ln" }, "ln", 8},
		{"no bottleneck", func(c *Config) { c.BottleneckDim = 0 }, "", 0},
		{"two layers", func(c *Config) { c.HeadLayers = 2 }, "", 8},
		{"own layer for patches", func(c *Config) { c.SharedHead, c.SharedHeadTeacher, c.PatchOutDim = false, false, 20 }, "", 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Default()
			config.HiddenDim, config.BottleneckDim, config.OutDim, config.PatchOutDim = 12, 8, 16, 16
			c.set(&config)
			n := &Net{Config: config, Prefix: "teacher.backbone."}
			want := n.headConfig()
			f := headFile(t, config)
			defer f.Close()
			got, err := inferHead(f, "teacher.head.")
			if err != nil {
				t.Fatal(err)
			}
			if got.Norm != c.norm || got.BottleneckDim != c.bottleneck || got.Layers != want.Layers || got.HiddenDim != 12 ||
				got.OutDim != want.OutDim || got.PatchOutDim != want.PatchOutDim {
				t.Errorf("got %+v, want the widths of %+v", got, want)
			}
		})
	}
}

func TestLoadHeadMissing(t *testing.T) {
	file := ckpt.New()
	for name, shape := range map[string][]int{
		"cls_token": {1, 1, 4}, "pos_embed": {1, 5, 4}, "patch_embed.proj.weight": {4, 3, 8, 8},
	} {
		n := 1
		for _, s := range shape {
			n *= s
		}
		if err := file.Add(name, ckpt.FromFloat32(shape, make([]float32, n))); err != nil {
			t.Fatal(err)
		}
	}
	path := t.TempDir() + "/backbone.safetensors"
	if err := ckpt.Write(path, file); err != nil {
		t.Fatal(err)
	}
	n := &Net{Source: path}
	if err := n.LoadHead(torch.CPU); !errors.Is(err, ErrNoHead) {
		t.Errorf("got %v, want %v", err, ErrNoHead)
	}
}

// headFile is a checkpoint with the teacher's head of a run with the given settings.
func headFile(t *testing.T, c Config) *ckpt.Checkpoint {
	t.Helper()
	model := c.Model()
	model.Backbone.ImgSize, model.Backbone.PatchSize = 8, 8
	model.Backbone.EmbedDim, model.Backbone.Depth, model.Backbone.NumHeads = 4, 1, 1
	m, err := method.NewModel(model, 0, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Free()
	file := ckpt.New()
	for _, s := range m.Teacher.Path.State() {
		if err := file.AddFunc("teacher."+s.Name, dtypes[s.DType()], s.Shape(), func() ([]byte, error) { return s.Bytes(), nil }); err != nil {
			t.Fatal(err)
		}
	}
	path := t.TempDir() + "/model.safetensors"
	if err := ckpt.Write(path, file); err != nil {
		t.Fatal(err)
	}
	f, err := ckpt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
