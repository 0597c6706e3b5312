package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/torch"
	"ibot/train"
)

// TestPretrainBadInput: one line that says what was wanted, what was found and what to do; exit code 1 or 2; nothing is
// begun, and no tensor is left alive.
func TestPretrainBadInput(t *testing.T) {
	data, dir := draw(t, "4", "60"), t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	file := write("texts/notes.txt", "no image")
	texts := filepath.Dir(file)
	misspelt := write("misspelt.yaml", "epoch: 7\n")
	wrong := write("wrong.yaml", "epochs: many\n")
	for i := range 9 {
		write("broken/a"+string(rune('0'+i))+".png", "no image")
	}
	broken := filepath.Join(dir, "broken")

	const tiny = "--recipe tiny --device cpu "
	for _, test := range []struct {
		args string // RUN stands for a new folder
		code int
		want string
	}{
		{"--out RUN", exitUsage, "pretrain needs --data DIR, the images to learn from; see ibot pretrain --help"},
		{"--data " + data, exitUsage, "pretrain needs --out RUN, the folder of the run; see ibot pretrain --help"},
		{tiny + "--out RUN --data " + dir + "/nowhere", exitError, "data: " + dir + "/nowhere does not exist; " + dir + " holds broken, empty, "},
		{tiny + "--out RUN --data " + empty, exitError, "data: " + empty + " is empty; put images into it, or give another folder"},
		{tiny + "--out RUN --data " + texts, exitError, "notes.txt"},
		{tiny + "--out RUN --data " + broken, exitError, "of 9 images cannot be read, which is more than 5 %; repair or remove them"},
		{tiny + "--out RUN --data " + data + " --val_data " + empty, exitError, "data: " + empty + " is empty"},
		{tiny + "--out RUN --data " + data + " --img_size 18", exitUsage, "train: img_size 18 is not a multiple of patch_size 4; use 16 or 20"},
		{tiny + "--out RUN --data " + data + " --local_size 9", exitUsage, "train: local_size 9 is not a multiple of patch_size 4; use 8 or 12"},
		{"--recipe tinny --out RUN --data " + data, exitUsage, `recipes: unknown recipe "tinny"; did you mean "tiny"?`},
		{tiny + "--out RUN --data " + data + " --epoch 3", exitUsage, "unknown flag --epoch; did you mean --epochs?"},
		{tiny + "--out RUN --data " + data + " --epochs many", exitUsage, `--epochs: want a whole number of at least 1, found "many"`},
		{tiny + "--out RUN --data " + data + " --config " + misspelt, exitUsage, misspelt + `:1: unknown key "epoch"; did you mean "epochs"?`},
		{tiny + "--out RUN --data " + data + " --config " + wrong, exitUsage, wrong + ":1: "},
		{tiny + "--out RUN --data " + data + " --config " + dir + "/none.yaml", exitUsage, "none.yaml"},
		{tiny + "--out RUN --data " + data + " --arch vit_smal", exitUsage, `train: arch: unknown architecture "vit_smal"; did you mean "vit_small"?`},
		{tiny + "--out RUN --data " + data + " --precision fp8", exitUsage, "--precision: "},
		{tiny + "--out RUN --data " + data + " --device tpu", exitUsage, `train: device: want auto, cpu, cuda or cuda:N, found "tpu"`},
		{tiny + "--out RUN --data " + data + " --device cuda:99", exitError, `torch: device "cuda:99" was asked for, but `},
		{tiny + "--out RUN --data " + data + " --batch_size_per_gpu 49", exitError, "data: 48 images do not fill a batch of 49; lower the batch size to 48 or less, or add images; lower --batch_size_per_gpu"},
		{tiny + "--out RUN --data " + data + " --in_chans 5 --knn_every 0", exitError, "cannot be read, which is more than 5 %"},
		{tiny + "--out RUN --data " + data + " --resume " + dir + "/none.safetensors", exitError, dir + "/none.safetensors: no such file or directory; to go on from another checkpoint use --resume FILE, to start anew --resume never"},
		{tiny + "--out RUN --data " + data + " --resume " + file, exitError, "to go on from another checkpoint use --resume FILE, to start anew --resume never"},
		{tiny + "--out RUN --data " + data + " --resume " + goldenCheckpoint, exitError, "use the settings that it was trained with"},
		{tiny + "--out RUN --data " + data + " --resume " + root + "/exchange/testdata/foreign/timm.pth", exitError, "holds no training to go on with, only weights; want a checkpoint that ibot pretrain or the reference wrote"},
		{tiny + "--data " + data + " --out " + file, exitError, "train: cannot make the run's folder: "},
		{tiny + "--data " + data + " --out " + file + "/below", exitError, "not a directory; name another with --out"},
		{tiny + "--data " + data + " --out /proc/run", exitError, "train: cannot make the run's folder: mkdir /proc/run: no such file or directory; name another with --out"},
	} {
		t.Run(strings.ReplaceAll(test.args, dir, ""), func(t *testing.T) {
			run, before := filepath.Join(t.TempDir(), "run"), torch.Live()
			args := strings.Fields(strings.ReplaceAll(test.args, "RUN", run))
			code, stdout, stderr := ibot(t, append([]string{"pretrain"}, args...)...)
			if line := lastLine(t, stderr); code != test.code || stdout != "" || !strings.HasPrefix(line, "ibot: ") || !strings.Contains(line, test.want) {
				t.Errorf("code %d, stdout %q, stderr\n%swant %d and %q", code, stdout, stderr, test.code, test.want)
			}
			if left, _ := filepath.Glob(filepath.Join(run, "checkpoints", "*")); left != nil {
				t.Errorf("left behind: %q", left)
			}
			if after := torch.Live(); after != before {
				t.Errorf("%d tensors are left alive", after-before)
			}
		})
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "no image" {
		t.Errorf("%s was changed: %q, %v", file, text, err)
	}
}

// TestCUDAAskedForAndAbsent: on a machine without a GPU; on one with, TestPretrainBadInput asks for its hundredth.
func TestCUDAAskedForAndAbsent(t *testing.T) {
	device, want := "cuda", "; use --device cpu or auto"
	if n, _ := torch.CUDADevices(); n > 0 {
		device, want = "cuda:64", " CUDA devices, cuda:0 to cuda:"
	}
	code, _, stderr := ibot(t, tiny(draw(t, "2", "20"), filepath.Join(t.TempDir(), "run"), "--device", device)...)
	line := lastLine(t, stderr)
	if code != exitError || !strings.Contains(line, `device "`+device+`" was asked for, but`) || !strings.Contains(line, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
}

// TestRunThatCannotGoOn: a folder with a checkpoint of another network or a damaged one. Nothing in it is lost.
func TestRunThatCannotGoOn(t *testing.T) {
	_, whole, _ := tinyRun(t)
	good, err := os.ReadFile(train.LatestCheckpoint(whole))
	if err != nil {
		t.Fatal(err)
	}
	golden, err := os.ReadFile(goldenCheckpoint)
	if err != nil {
		t.Fatal(err)
	}
	const advice = "to go on from another checkpoint use --resume FILE, to start anew --resume never"
	cut := func(n int) []byte { return good[:n] }
	type test struct {
		name    string
		content []byte
		args    string
		want    string
	}
	tests := []test{
		{"another width", good, "--embed_dim 64", "the checkpoint is of another architecture: "},
		{"another depth", good, "--depth 3", "the checkpoint is of another architecture: "},
		{"another head", good, "--out_dim 32 --patch_out_dim 32", "the checkpoint is of another architecture: "},
		{"another file", []byte("no checkpoint at all\n"), "", advice},
		{"the reference's checkpoint", golden, "", "the checkpoint is of another architecture: "},
		{"longer than it says", append(cut(len(good)), 0, 0, 0, 0), "", advice},
	}
	for _, n := range []int{0, 1, 8, 100, 5000, len(good) / 2, len(good) - 1} {
		tests = append(tests, test{"cut off", cut(n), "", advice})
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run, before := copyRun(t, whole), torch.Live()
			path := train.LatestCheckpoint(run)
			if err := os.WriteFile(path, test.content, 0o644); err != nil {
				t.Fatal(err)
			}
			config, err := os.ReadFile(train.ConfigPath(run))
			if err != nil {
				t.Fatal(err)
			}
			code, stdout, stderr := ibot(t, append([]string{"pretrain", "--out", run, "--epochs", "3", "--knn_every", "0"}, strings.Fields(test.args)...)...)
			if line := lastLine(t, stderr); code != exitError || stdout != "" || !strings.Contains(line, test.want) || !strings.Contains(line, path) {
				t.Errorf("code %d, stdout %q, stderr\n%swant %q", code, stdout, stderr, test.want)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, test.content) {
				t.Errorf("the checkpoint was changed: %d bytes, %v", len(now), err)
			}
			if now, err := os.ReadFile(train.ConfigPath(run)); err != nil || !bytes.Equal(now, config) {
				t.Errorf("the settings were changed: %v\n%s", err, now)
			}
			if n := len(records(t, run, "step")); n != 12 {
				t.Errorf("%d steps are recorded, want those of the run, 12", n)
			}
			if after := torch.Live(); after != before {
				t.Errorf("%d tensors are left alive", after-before)
			}
		})
	}
}

// TestNonFiniteRun: three skipped steps in a row are exit code 1 and advice in one line.
func TestNonFiniteRun(t *testing.T) {
	_, run, _ := tinyRun(t)
	good := checkpoint(t, run).Meta["step"]
	code, stdout, stderr := ibot(t, "pretrain", "--out", run, "--epochs", "3", "--lr", "1e30", "--knn_every", "0")
	line := lastLine(t, stderr)
	if code != exitError || stdout != "" || !strings.Contains(line, "3 steps in a row were not finite") || !strings.Contains(line, "the latest good checkpoint is of step 12") || !strings.Contains(line, "try a lower --lr") {
		t.Errorf("code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
	if n := strings.Count(stderr, `msg="step skipped"`); n != 3 || len(records(t, run, "skipped")) != 3 {
		t.Errorf("%d skipped steps in the log, %v in metrics.jsonl", n, records(t, run, "skipped"))
	}
	if now := checkpoint(t, run).Meta["step"]; now != good {
		t.Errorf("the latest checkpoint is of step %s, want %s", now, good)
	}
	code, stdout, stderr = ibot(t, "pretrain", "--out", run, "--epochs", "3", "--lr", "5e-4", "--knn_every", "0")
	if code != exitOK || !strings.Contains(stdout, "18 of 18 steps") {
		t.Errorf("code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}
