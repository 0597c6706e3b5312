package train_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"ibot/internal/settings"
	"ibot/recipes"
	"ibot/train"
)

var archs = []string{"vit_tiny", "vit_small", "vit_base", "vit_large", "swin_tiny", "swin_small", "swin_base", "swin_large"}

func ExampleConfig_Resolve() {
	c := train.Default()
	c.Arch, c.Epochs = "deit_small", 20
	notes, err := c.Resolve([]string{"vit_tiny", "vit_small"})
	fmt.Println(c.Arch, c.WarmupTeacherTempEpochs, err)
	fmt.Println(notes[0])

	c.ImgSize = 230
	fmt.Println(c.Validate(nil))
	// Output:
	// vit_small 20 <nil>
	// warmup_teacher_temp_epochs 30 is longer than the run of 20 epochs: using 20
	// train: img_size 230 is not a multiple of patch_size 16; use 224 or 240
}

// TestReferenceDefaults: the defaults of main_ibot.py, flag by flag, in its own spelling.
// Num_workers is not among them: 0 takes the machine's CPUs where the reference has 10.
func TestReferenceDefaults(t *testing.T) {
	want := map[string]string{
		"arch": "vit_small", "patch_size": "16", "window_size": "7", "out_dim": "8192", "patch_out_dim": "8192",
		"shared_head": "false", "shared_head_teacher": "true", "norm_last_layer": "true", "momentum_teacher": "0.996",
		"norm_in_head": "none", "act_in_head": "gelu", "use_masked_im_modeling": "true", "pred_ratio": "0.3",
		"pred_ratio_var": "0", "pred_shape": "block", "pred_start_epoch": "0", "lambda1": "1", "lambda2": "1",
		"warmup_teacher_temp": "0.04", "teacher_temp": "0.04", "warmup_teacher_patch_temp": "0.04",
		"teacher_patch_temp": "0.07", "warmup_teacher_temp_epochs": "30", "use_fp16": "true", "weight_decay": "0.04",
		"weight_decay_end": "0.4", "clip_grad": "3", "batch_size_per_gpu": "128", "epochs": "100", "freeze_last_layer": "1",
		"lr": "0.0005", "warmup_epochs": "10", "min_lr": "1e-06", "optimizer": "adamw", "load_from": "", "drop_path": "0.1",
		"global_crops_number": "2", "global_crops_scale": "0.14 1", "local_crops_number": "0", "local_crops_scale": "0.05 0.4",
		"saveckp_freq": "40", "seed": "0",
	}
	c := train.Default()
	for _, f := range settings.Fields(&c) {
		if value, isReference := want[f.Name]; isReference {
			if got := f.Value(&c); got != value {
				t.Errorf("%s: got %q, want %q", f.Name, got, value)
			}
			delete(want, f.Name)
		}
	}
	for name := range want {
		t.Errorf("no setting is called %s", name)
	}
	if err := c.Validate(archs); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

// TestPublishedCommandLines parses the command lines of the reference's README and of its
// random-mask variant.
func TestPublishedCommandLines(t *testing.T) {
	const small = "--teacher_temp 0.07 --warmup_teacher_temp_epochs 30 --norm_last_layer false --epochs 800 " +
		"--batch_size_per_gpu 64 --shared_head true --out_dim 8192 --local_crops_number 10 --global_crops_scale 0.25 1 " +
		"--local_crops_scale 0.05 0.25 --pred_ratio 0 0.3 --pred_ratio_var 0 0.2"
	asSmall := func(c *train.Config) {
		c.TeacherTemp, c.WarmupTeacherTempEpochs, c.NormLastLayer, c.Epochs = 0.07, 30, false, 800
		c.BatchSize, c.SharedHead, c.OutDim, c.LocalCropsNumber = 64, true, 8192, 10
		c.GlobalCropsScale, c.LocalCropsScale = [2]float64{0.25, 1}, [2]float64{0.05, 0.25}
		c.PredRatio, c.PredRatioVar = []float64{0, 0.3}, []float64{0, 0.2}
	}
	tests := []struct {
		name, line string
		want       func(*train.Config)
	}{
		{"ViT-S", "--arch vit_small --output_dir RUN --data_path /imagenet/train " + small, func(c *train.Config) {
			asSmall(c)
			c.Out, c.Data = "RUN", "/imagenet/train"
		}},
		{
			"Swin-T", "--arch swin_tiny " + small + " --epochs 300 --batch_size_per_gpu 26 --pred_start_epoch 50 --patch_size 4 --window_size 14",
			func(c *train.Config) {
				asSmall(c)
				c.Arch, c.Epochs, c.BatchSize = "swin_tiny", 300, 26
				c.PredStartEpoch, c.PatchSize, c.WindowSize = 50, 4, 14
			},
		},
		{"random masks", small + " --pred_shape rand --pred_ratio 0 0.7 --pred_ratio_var 0 0.05", func(c *train.Config) {
			asSmall(c)
			c.PredShape, c.PredRatio, c.PredRatioVar = "rand", []float64{0, 0.7}, []float64{0, 0.05}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, want := train.Default(), train.Default()
			test.want(&want)
			fs := pflag.NewFlagSet("pretrain", pflag.ContinueOnError)
			settings.Bind(fs, &got)
			if err := fs.Parse(settings.Args(fs, strings.Fields(test.line))); err != nil {
				t.Fatal(err)
			}
			if fs.NArg() > 0 {
				t.Errorf("left over: %q", fs.Args())
			}
			if changes := settings.Changed(&want, &got); changes != nil {
				t.Errorf("differs from what was wanted: %v", changes)
			}
			if notes, err := got.Resolve(archs); err != nil || notes != nil {
				t.Errorf("got notes %q and error %v, want neither", notes, err)
			}
		})
	}
}

// TestRecipes: every recipe decodes, holds nothing that belongs to a single run, and is valid
// without any change.
func TestRecipes(t *testing.T) {
	for _, name := range recipes.Names() {
		t.Run(name, func(t *testing.T) {
			r, err := recipes.Load(name)
			if err != nil {
				t.Fatal(err)
			}
			c := train.Default()
			if err := settings.DecodeYAML(r.File(), r.YAML, &c); err != nil {
				t.Fatal(err)
			}
			if c.Data != "" || c.Out != "" || c.Recipe != "" || c.File != "" || c.LoadFrom != "" {
				t.Error("names a file, a folder or another recipe")
			}
			if notes, err := c.Resolve(archs); err != nil || notes != nil {
				t.Errorf("got notes %q and error %v, want neither", notes, err)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	tests := []struct {
		name   string
		change func(*train.Config)
		want   func(*train.Config) // on top of change
		notes  []string
	}{
		{"defaults", func(*train.Config) {}, func(*train.Config) {}, nil},
		{"deit", func(c *train.Config) { c.Arch = "deit_tiny" }, func(c *train.Config) { c.Arch = "vit_tiny" }, nil},
		{
			"swin patches", func(c *train.Config) { c.Arch = "swin_tiny" }, func(c *train.Config) { c.PatchSize = 4 },
			[]string{"patch_size 16 is not for Swin, whose patches have 4 pixels: using 4"},
		},
		{
			"one variance for all", func(c *train.Config) { c.PredRatio, c.PredRatioVar = []float64{0.2, 0.3}, []float64{0.1} },
			func(c *train.Config) { c.PredRatioVar = []float64{0.1, 0.1} }, nil,
		},
		{
			"short run", func(c *train.Config) { c.Epochs = 5 },
			func(c *train.Config) { c.WarmupEpochs, c.WarmupTeacherTempEpochs = 5, 5 },
			[]string{
				"warmup_epochs 10 is longer than the run of 5 epochs: using 5",
				"warmup_teacher_temp_epochs 30 is longer than the run of 5 epochs: using 5",
			},
		},
		{
			"late masks", func(c *train.Config) { c.PredStartEpoch = 80 },
			func(c *train.Config) { c.WarmupTeacherTempEpochs = 20 },
			[]string{"warmup_teacher_temp_epochs 30 is longer than what follows on pred_start_epoch 80 in the run of 100 epochs: using 20"},
		},
		{"late masks that fit", func(c *train.Config) { c.PredStartEpoch = 70 }, func(*train.Config) {}, nil},
		{"late masks that are off", func(c *train.Config) { c.PredStartEpoch, c.UseMaskedIM = 200, false }, func(*train.Config) {}, nil},
		{
			"frozen for good", func(c *train.Config) { c.FreezeLastLayer = 100 }, func(*train.Config) {},
			[]string{"freeze_last_layer 100 covers the whole run of 100 epochs: the last layer of the head will not learn"},
		},
		{
			"load_from", func(c *train.Config) { c.Out, c.LoadFrom = "RUN", "checkpoint.pth" },
			func(c *train.Config) { c.Resume, c.LoadFrom = "RUN/checkpoint.pth", "" }, nil,
		},
		{
			"load_from elsewhere", func(c *train.Config) { c.Out, c.LoadFrom = "RUN", "/a/b.pth" },
			func(c *train.Config) { c.Resume, c.LoadFrom = "/a/b.pth", "" }, nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, want := train.Default(), train.Default()
			test.change(&got)
			test.change(&want)
			test.want(&want)
			notes, err := got.Resolve(archs)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(notes, test.notes) {
				t.Errorf("notes: got %q, want %q", notes, test.notes)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("differs from what was wanted: %v", settings.Changed(&want, &got))
			}
			if notes, err := got.Resolve(archs); err != nil || !slices.Equal(notes, frozen(test.notes)) {
				t.Errorf("a second time: got notes %q and error %v", notes, err)
			}
		})
	}
}

// frozen keeps the notes that do not come with a change, and so come again.
func frozen(notes []string) []string {
	return slices.DeleteFunc(slices.Clone(notes), func(n string) bool { return strings.Contains(n, ": using ") })
}

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*train.Config)
		want   string
	}{
		{"arch", func(c *train.Config) { c.Arch = "vit_smal" }, `arch: unknown architecture "vit_smal"; did you mean "vit_small"?`},
		{"arch like nothing", func(c *train.Config) { c.Arch = "resnet50" }, `arch: unknown architecture "resnet50"; there are ` + strings.Join(archs, ", ")},
		{"image size", func(c *train.Config) { c.ImgSize = 230 }, "img_size 230 is not a multiple of patch_size 16; use 224 or 240"},
		{"image below a patch", func(c *train.Config) { c.ImgSize = 8 }, "img_size 8 is not a multiple of patch_size 16; use 16"},
		{"local size", func(c *train.Config) { c.LocalCropsNumber, c.LocalSize = 2, 100 }, "local_size 100 is not a multiple of patch_size 16; use 96 or 112"},
		{"Swin image size", func(c *train.Config) { c.Arch, c.PatchSize, c.ImgSize = "swin_tiny", 4, 240 }, "img_size 240 is not a multiple of 32, Swin's coarsest patch; use 224 or 256"},
		{"Swin patch", func(c *train.Config) { c.Arch, c.PatchSize, c.ImgSize = "swin_tiny", 8, 256 }, "patch_size 8: Swin's patches have 4 pixels; leave the setting out"},
		{"Swin depth", func(c *train.Config) { c.Arch, c.PatchSize, c.Depth = "swin_tiny", 4, 2 }, "depth 2 is for ViT; Swin has several: use --depths with the blocks of each stage, such as 2 2 6 2"},
		{"Swin LayerScale", func(c *train.Config) { c.Arch, c.PatchSize, c.InitValues = "swin_tiny", 4, .1 }, "init_values 0.1: Swin has no LayerScale; leave the setting out"},
		{"Swin stages", func(c *train.Config) {
			c.Arch, c.PatchSize, c.ImgSize, c.Depths = "swin_tiny", 4, 24, []float64{2, 2, 2}
		}, "img_size 24 is not a multiple of 16, Swin's coarsest patch; use 16 or 32"},
		{"Swin half a block", func(c *train.Config) { c.Arch, c.PatchSize, c.Depths = "swin_tiny", 4, []float64{2, 1.5} }, "depths [2 1.5]: want whole numbers of blocks"},
		{"Swin many stages", func(c *train.Config) {
			c.Arch, c.PatchSize, c.ImgSize, c.Depths = "swin_tiny", 4, 2048, []float64{1, 1, 1, 1, 1, 1, 1, 1, 1}
		}, "depths [1 1 1 1 1 1 1 1 1]: 9 stages; want at most 8, each halves the map"},
		{"ViT stages", func(c *train.Config) { c.Depths = []float64{2, 2} }, "depths [2 2] are for Swin; ViT has one: use --depth"},
		{"heads", func(c *train.Config) { c.EmbedDim, c.NumHeads = 100, 3 }, "embed_dim 100 is not a multiple of num_heads 3; each head takes an equal part: use 99 or 102"},
		{"outputs", func(c *train.Config) { c.OutDim = 4096 }, "patch_out_dim 8192 and out_dim 4096 must be equal while only one of shared_head and shared_head_teacher is set; use --patch_out_dim 4096"},
		{"ratios", func(c *train.Config) { c.PredRatio, c.PredRatioVar = []float64{0, 0.3}, []float64{0, 0.1, 0.2} }, "pred_ratio has 2 numbers and pred_ratio_var has 3; give as many, or one pred_ratio_var for all"},
		{"variance too large", func(c *train.Config) { c.PredRatioVar = []float64{0.4} }, "pred_ratio 0.3 with pred_ratio_var 0.4 reaches from -0.1 to 0.7; shares lie from 0 to 1: use a pred_ratio_var of at most 0.3"},
		{"ratio too large", func(c *train.Config) { c.PredRatio, c.PredRatioVar = []float64{0.9}, []float64{0.2} }, "pred_ratio 0.9 with pred_ratio_var 0.2 reaches from 0.7 to 1.1; shares lie from 0 to 1: use a pred_ratio_var of at most 0.1"},
		{"means of other channels", func(c *train.Config) { c.Mean, c.Std = []float64{.5}, []float64{.5} }, "mean has 1 numbers and std has 1, but images have 3 channels (in_chans); give as many of both, which ibot data stats prints"},
		{"a deviation of 0", func(c *train.Config) { c.InChans, c.Mean, c.Std = 1, []float64{.5}, []float64{0} }, "std 0: a channel cannot be divided by it; want more than 0"},
		{"masks too late", func(c *train.Config) { c.PredStartEpoch = 100 }, "pred_start_epoch 100 is not within the run of 100 epochs, nothing would be masked; lower it, or use --use_masked_im_modeling false"},
		{"no loss", func(c *train.Config) { c.Lambda1, c.Lambda2 = 0, 0 }, "lambda1 and lambda2 are both 0, there is nothing to learn; the reference has 1 for each"},
		{"no masks, no views", func(c *train.Config) { c.Lambda1, c.UseMaskedIM = 0, false }, "lambda1 is 0 and use_masked_im_modeling is false, there is nothing to learn; change one of them"},
		{"one crop", func(c *train.Config) { c.GlobalCropsNumber = 1 }, "global_crops_number 1 and local_crops_number 0: the [CLS] loss compares two crops of an image; use 2 global crops, or --lambda1 0"},
		{"scale", func(c *train.Config) { c.GlobalCropsScale = [2]float64{1, 0.25} }, "global_crops_scale goes from 1 down to 0.25; want the smaller first: use --global_crops_scale 0.25 1"},
		{"scale above 1", func(c *train.Config) { c.LocalCropsScale = [2]float64{0.1, 2} }, `local_crops_scale: want two numbers above 0 and at most 1, found "0.1 2"`},
		{"device", func(c *train.Config) { c.Device = "gpu" }, `device: want auto, cpu, cuda or cuda:N, found "gpu"`},
		{"resume", func(c *train.Config) { c.Resume = "" }, "resume: want auto, never or a checkpoint's path, found nothing"},
		{"momentum", func(c *train.Config) { c.MomentumTeacher = 1.5 }, `momentum_teacher: want a number from 0 to 1, found "1.5"`},
		{"temperature", func(c *train.Config) { c.StudentTemp = 0 }, `student_temp: want a number above 0, found "0"`},
		{"drop path", func(c *train.Config) { c.DropPath = 1 }, `drop_path: want a number from 0 to below 1, found "1"`},
		{"epochs", func(c *train.Config) { c.Epochs = -1 }, `epochs: want a whole number of at least 1, found "-1"`},
		{"batch", func(c *train.Config) { c.BatchSize = 0 }, `batch_size_per_gpu: want a whole number of at least 1, found "0"`},
		{"patch", func(c *train.Config) { c.PatchSize = 0 }, `patch_size: want a whole number from 1 to 512, found "0"`},
		{"outputs without bound", func(c *train.Config) { c.OutDim = 1 << 40 }, `out_dim: want a whole number from 2 to 4194304, found "1099511627776"`},
		{"shape", func(c *train.Config) { c.PredShape = "blok" }, `pred_shape: want one of block, rand, found "blok"`},
		{"optimizer", func(c *train.Config) { c.Optimizer = "adam" }, `optimizer: want one of adamw, sgd, lars, found "adam"`},
		{"precision", func(c *train.Config) { c.Precision = "fp8" }, `precision: want one of fp32, bf16, fp16, auto, found "fp8"`},
		{"norm", func(c *train.Config) { c.NormInHead = "gn" }, `norm_in_head: want one of none, bn, syncbn, csyncbn, psyncbn, ln, found "gn"`},
		{"activation", func(c *train.Config) { c.ActInHead = "silu" }, `act_in_head: want one of gelu, relu, found "silu"`},
		{
			"several", func(c *train.Config) { c.ImgSize, c.Device = 230, "tpu" },
			"img_size 230 is not a multiple of patch_size 16; use 224 or 240\ntrain: device: want auto, cpu, cuda or cuda:N, found \"tpu\"",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := train.Default()
			test.change(&c)
			err := c.Validate(archs)
			if want := "train: " + test.want; err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if _, err := c.Resolve(archs); err == nil {
				t.Error("Resolve took what Validate refuses")
			}
		})
	}
}

func TestResolveConflict(t *testing.T) {
	c := train.Default()
	c.Resume, c.LoadFrom = "never", "checkpoint.pth"
	const want = `train: load_from "checkpoint.pth" and resume "never" both say where to go on; give one of them`
	if _, err := c.Resolve(archs); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
