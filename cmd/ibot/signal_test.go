package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ibot/ckpt"
	"ibot/rng"
	"ibot/train"
)

// process is the built program at work.
type process struct {
	*exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{} // closed when it has
}

// start starts the program. It is killed at the end of the test if it still runs then.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(program(t), args...))
}

func startCommand(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{Cmd: cmd, ended: make(chan struct{})}
	p.Stdout, p.Stderr = &p.stdout, &p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.Wait(); close(p.ended) }()
	t.Cleanup(func() { p.Process.Kill(); <-p.ended })
	return p
}

// code waits for the end and returns the exit code, -1 after a signal.
func (p *process) code() int {
	<-p.ended
	return p.ProcessState.ExitCode()
}

// reach waits until the run has recorded n steps, and reports whether it did so before its end.
func (p *process) reach(t *testing.T, run string, n int) bool {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if len(records(t, run, "step")) >= n {
			return true
		}
		select {
		case <-p.ended:
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
	t.Fatalf("no step %d after two minutes: %s", n, p.stderr.String())
	return false
}

// TestKilledRunsGoOn: kill -9 at random moments, with a checkpoint at every step. There is always a whole one to go on
// from, the lock of the dead process does not stay, and the end is that of a run that nobody killed, bit for bit.
func TestKilledRunsGoOn(t *testing.T) {
	data, dir := draw(t, "4", "60"), t.TempDir()
	whole, killed := filepath.Join(dir, "whole"), filepath.Join(dir, "killed")
	if code, _, stderr := ibot(t, tiny(data, whole, "--epochs", "3", "--num_workers", "1")...); code != exitOK {
		t.Fatal(stderr)
	}
	moments := rng.Seed(3).Stream("kill")
	for i, least := range []int{1, 7, 13} { // in the first, second and third epoch
		p := start(t, tiny(data, killed, "--epochs", "3", "--ckpt_every", "1", "--num_workers", strconv.Itoa(1+i))...)
		if !p.reach(t, killed, least+moments.IntN(4)) {
			t.Fatalf("ended too early: %s", p.stderr.String())
		}
		p.Process.Kill()
		if code := p.code(); code > 0 {
			t.Fatalf("exit code %d before it was killed: %s", code, p.stderr.String())
		}
		if _, err := os.Stat(train.LatestCheckpoint(killed)); err == nil {
			checkpoint(t, killed)
		} else if least > 1 {
			t.Errorf("kill %d: %v", i+1, err)
		}
	}
	half := filepath.Join(killed, "checkpoints", ".latest.safetensors.tmp-1-0") // as a kill amid a write leaves it
	if err := os.WriteFile(half, make([]byte, 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	if p := start(t, tiny(data, killed, "--epochs", "3")...); p.code() != exitOK {
		t.Fatalf("the last call: code %d, stderr %s", p.code(), p.stderr.String())
	}
	if d := ckpt.Diff(checkpoint(t, killed), checkpoint(t, whole)); !d.Equal() || d.Same < 100 {
		t.Error(d)
	}
	logA, errA := os.ReadFile(filepath.Join(killed, "log.txt"))
	logB, errB := os.ReadFile(filepath.Join(whole, "log.txt"))
	if errA != nil || errB != nil || !bytes.Equal(logA, logB) {
		t.Errorf("log.txt: %s, want %s (%v, %v)", logA, logB, errA, errB)
	}
	for _, kind := range []string{"baseline", "step", "epoch"} {
		a, b := records(t, killed, kind), records(t, whole, kind)
		if len(a) != len(b) {
			t.Errorf("%d records of kind %s, want %d", len(a), kind, len(b))
			continue
		}
		for i := range a {
			if a[i]["step"] != b[i]["step"] || a[i]["loss"] != b[i]["loss"] || a[i]["knn"] != b[i]["knn"] {
				t.Errorf("%v, want %v", a[i], b[i])
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(killed, "checkpoints", ".*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// TestInterruptedRun: SIGINT ends the step, saves and gives exit code 130. While it runs, nobody else gets its folder.
func TestInterruptedRun(t *testing.T) {
	data, run := draw(t, "4", "60"), filepath.Join(t.TempDir(), "run")
	p := start(t, tiny(data, run, "--epochs", "100000", "--knn_every", "0")...)
	if !p.reach(t, run, 2) {
		t.Fatalf("ended too early: %s", p.stderr.String())
	}
	code, stdout, stderr := ibot(t, tiny(data, run)...)
	want := "ibot: train: " + run + " is in use by a run that is going on; wait for it, or name another folder with --out"
	if code != exitError || stdout != "" || lastLine(t, stderr) != want {
		t.Errorf("a second run: code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}

	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.code(); code != exitInterrupted || p.stdout.Len() > 0 {
		t.Fatalf("code %d, stdout %q, stderr\n%s", code, p.stdout.String(), p.stderr.String())
	}
	if line := lastLine(t, p.stderr.String()); line != "ibot: interrupted" {
		t.Errorf("the last line is %q", line)
	}
	step, err := strconv.Atoi(checkpoint(t, run).Meta["step"])
	if steps := records(t, run, "step"); err != nil || step != len(steps) {
		t.Errorf("the checkpoint is of step %d (%v), of %d that were made", step, err, len(steps))
	}

	p = start(t, "pretrain", "--out", run, "--steps", strconv.Itoa(step+2))
	if code := p.code(); code != exitOK || !strings.Contains(p.stderr.String(), "going on") {
		t.Errorf("code %d, stderr\n%s", code, p.stderr.String())
	}
	if now := checkpoint(t, run).Meta["step"]; now != strconv.Itoa(step+2) {
		t.Errorf("the checkpoint is of step %s, want %d", now, step+2)
	}
}

// TestFullDisk: a limit on the size of files stands in for the disk. The checkpoint that does not fit leaves the one before,
// and with room again the run goes on.
func TestFullDisk(t *testing.T) {
	_, run, _ := tinyRun(t)
	good, err := os.ReadFile(train.LatestCheckpoint(run))
	if err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", `ulimit -f 400 && exec "$0" "$@"`, // blocks of 512 or 1024 bytes
		program(t), "pretrain", "--out", run, "--epochs", "3", "--knn_every", "0")
	p := startCommand(t, shell)
	code, stderr := p.code(), p.stderr.String()
	line := lastLine(t, stderr)
	if code != exitError || !strings.Contains(line, "train: cannot write the checkpoint of step 18: ") || !strings.Contains(line, "latest.safetensors stopped after ") ||
		!strings.HasSuffix(line, "the latest good one is of step 12, and the same command goes on from there") {
		t.Errorf("code %d, stderr\n%s", code, stderr)
	}
	if now, err := os.ReadFile(train.LatestCheckpoint(run)); err != nil || !bytes.Equal(now, good) {
		t.Errorf("the good checkpoint has changed: %d bytes, %v", len(now), err)
	}
	if left, _ := filepath.Glob(filepath.Join(run, "checkpoints", ".*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
	code, stdout, stderr := ibot(t, "pretrain", "--out", run, "--epochs", "3", "--knn_every", "0")
	if code != exitOK || !strings.Contains(stdout, "18 of 18 steps") {
		t.Errorf("with room again: code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}

// TestFullDiskForRecords: the device /dev/full refuses the list of bad images with the errno of a full disk.
func TestFullDiskForRecords(t *testing.T) {
	data, run := draw(t, "4", "60"), filepath.Join(t.TempDir(), "run")
	spoil(t, data, 3, 40)
	if err := os.MkdirAll(run, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/full", filepath.Join(run, "bad_images.jsonl")); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := ibot(t, tiny(data, run, "--knn_every", "0")...)
	line := lastLine(t, stderr)
	if code != exitError || stdout != "" || !strings.Contains(line, "data: cannot note the bad image ") || !strings.Contains(line, syscall.ENOSPC.Error()) {
		t.Errorf("code %d, stdout %q, stderr\n%s", code, stdout, stderr)
	}
}
