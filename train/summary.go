package train

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ibot/internal/atomicfile"
)

// Summary is what a run came to: summary.json.
type Summary struct {
	Run        string             `json:"run"`
	Arch       string             `json:"arch"`
	Images     int                `json:"images"`
	Steps      int                `json:"steps"`
	StepsOf    int                `json:"steps_of"`
	Epochs     int                `json:"epochs"`
	Seconds    float64            `json:"seconds"` // over all of its starts
	Means      map[string]float64 `json:"last_epoch,omitempty"`
	Baselines  map[string]float64 `json:"baselines,omitempty"`
	BestKNN    float64            `json:"best_knn,omitempty"`
	BestEpoch  int                `json:"best_epoch,omitempty"` // counted from 1
	Skipped    int                `json:"skipped_steps"`
	BadImages  int                `json:"bad_images"`
	Checkpoint string             `json:"checkpoint"`
	PeakMiB    int                `json:"peak_memory_mib"` // of this process
}

// ReadSummary reads what the run in a folder came to.
func ReadSummary(run string) (Summary, error) {
	var s Summary
	b, err := os.ReadFile(SummaryPath(run))
	if err != nil {
		return s, fmt.Errorf("train: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("train: %s is no summary of a run: %w", SummaryPath(run), err)
	}
	return s, nil
}

func (r *run) summary() Summary {
	s := Summary{
		Run: r.folder.Dir, Arch: r.Config.Arch, Images: r.Images.Len(), Steps: r.state.Step, StepsOf: r.last(), Epochs: r.state.Epoch,
		Seconds: r.state.Seconds + time.Since(r.began).Seconds(), Means: r.state.LastEpoch, Baselines: r.state.Baselines,
		BestKNN: r.state.BestKNN, BestEpoch: r.state.BestEpoch, Skipped: r.state.Skipped,
		Checkpoint: LatestCheckpoint(r.folder.Dir), PeakMiB: PeakMiB(),
	}
	if r.input != nil {
		s.BadImages = r.input.bad.Count()
	}
	return s
}

func finiteOnly(values map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for name, v := range values {
		if finite(v) {
			out[name] = v
		}
	}
	return out
}

func (s Summary) write(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := atomicfile.WriteBytes(path, append(b, '\n')); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}

// PeakMiB is the most memory that this process has held, 0 where the system does not say.
func PeakMiB() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			return kib / 1024
		}
	}
	return 0
}

// linkOrCopy gives the file at from the further name to, atomically. It shares the bytes where the file
// system can: from is only ever replaced, never written into.
func linkOrCopy(from, to string) error {
	dir, base := filepath.Split(to)
	temp := filepath.Join(dir, "."+base+".tmp-link") // [atomicfile.Sweep] takes what a killed process left
	os.Remove(temp)
	if os.Link(from, temp) == nil {
		if err := os.Rename(temp, to); err != nil {
			return fmt.Errorf("train: %w", err)
		}
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("train: %w", err)
	}
	defer src.Close()
	if err := atomicfile.Write(to, func(w io.Writer) error { _, err := io.Copy(w, src); return err }); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	return nil
}
