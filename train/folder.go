package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"ibot/internal/atomicfile"
	"ibot/internal/settings"
)

// The files of a run.
const (
	configFile  = "config.yaml"
	metricsFile = "metrics.jsonl"
	logFile     = "log.txt"
	badFile     = "bad_images.jsonl"
	indexFolder = "index"
	summaryFile = "summary.json"
	eventsDir   = "tf_logs"
	ckptDir     = "checkpoints"
	latestFile  = "latest.safetensors" // in checkpoints, as the next
	bestFile    = "best.safetensors"
	lockFile    = ".lock"
)

// Folder is the folder of a run, held by this process until Close.
type Folder struct {
	Dir  string
	lock *flock.Flock
}

// LatestCheckpoint is the path of a run's latest checkpoint.
func LatestCheckpoint(run string) string { return filepath.Join(run, ckptDir, latestFile) }

// SummaryPath is the path of what a run came to.
func SummaryPath(run string) string { return filepath.Join(run, summaryFile) }

// ConfigPath is the path of a run's settings.
func ConfigPath(run string) string { return filepath.Join(run, configFile) }

// OpenFolder makes the folder of a run if it is missing, and locks it: two runs in one folder would
// overwrite each other's checkpoints.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(filepath.Join(dir, ckptDir), 0o777); err != nil {
		return nil, fmt.Errorf("train: cannot make the run's folder: %w; name another with --out", err)
	}
	lock := flock.New(filepath.Join(dir, lockFile))
	ok, err := lock.TryLock()
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("train: cannot write to %s: %w; name another folder with --out", dir, err)
	case err != nil:
		return nil, fmt.Errorf("train: cannot lock %s: %w", dir, err)
	case !ok:
		return nil, fmt.Errorf("train: %s is in use by a run that is going on; wait for it, or name another folder with --out", dir)
	}
	f := &Folder{Dir: dir, lock: lock}
	for _, d := range []string{dir, f.path(ckptDir)} {
		if err := atomicfile.Sweep(d); err != nil {
			f.Close()
			return nil, fmt.Errorf("train: %w", err)
		}
	}
	return f, nil
}

// Close lets the folder go.
func (f *Folder) Close() error { return f.lock.Unlock() }

func (f *Folder) path(elem ...string) string {
	return filepath.Join(append([]string{f.Dir}, elem...)...)
}

// SetAside moves what an earlier run wrote into a subfolder, old-1, old-2 and so on, and returns its name; "" where
// there is nothing to move. What else lies in the folder stays.
func (f *Folder) SetAside() (string, error) {
	var move []string
	for _, name := range []string{configFile, metricsFile, logFile, badFile, summaryFile, eventsDir, ckptDir, "*.png", "report.html"} {
		found, err := filepath.Glob(f.path(name))
		if err != nil {
			return "", fmt.Errorf("train: %w", err)
		}
		move = append(move, found...)
	}
	if len(move) == 1 && empty(f.path(ckptDir)) {
		return "", nil
	}
	old := f.path("old-1")
	for n := 2; os.Mkdir(old, 0o777) != nil; n++ {
		if _, err := os.Stat(old); err != nil {
			return "", fmt.Errorf("train: cannot set the earlier run aside: %w", err)
		}
		old = f.path(fmt.Sprint("old-", n))
	}
	for _, from := range move {
		if err := os.Rename(from, filepath.Join(old, filepath.Base(from))); err != nil {
			return "", fmt.Errorf("train: cannot set the earlier run aside: %w", err)
		}
	}
	return filepath.Base(old), os.MkdirAll(f.path(ckptDir), 0o777)
}

func empty(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) == 0
}

// writeConfig writes the resolved settings, with what they were run on as comments.
func (f *Folder) writeConfig(c Config, about []string) error {
	var b strings.Builder
	for _, line := range about {
		fmt.Fprintf(&b, "# %s\n", line)
	}
	b.WriteString("\n")
	b.Write(settings.EncodeYAML(&c))
	return atomicfile.WriteBytes(f.path(configFile), []byte(b.String()))
}
