package exchange

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ibot/nn"
	"ibot/torch"
	"ibot/train"
)

//go:embed verify.py
var verifyScript string

// PythonProof is what another library made of a file.
type PythonProof struct {
	Cls      float64           `json:"cls"` // greatest absolute differences of [CLS] and of patches
	Patches  float64           `json:"patches"`
	Versions map[string]string `json:"versions"` // of the libraries that ran it
}

// String says the same in a line.
func (p *PythonProof) String() string {
	var by []string
	for _, name := range slices.Sorted(maps.Keys(p.Versions)) {
		if name != "numpy" {
			by = append(by, name+" "+p.Versions[name])
		}
	}
	return fmt.Sprintf("run by %s: greatest difference of [CLS] %.3g, of patches %.3g", strings.Join(by, ", "), p.Cls, p.Patches)
}

// ErrMissingLibrary says that Python does not have the library that a format is for.
var ErrMissingLibrary = errors.New("the library is not installed")

// VerifyWithPython runs what r tells of by the library that it was written for (PyTorch, timm,
// transformers or onnxruntime), with the given interpreter, beside the network of o.In. Nothing is
// fetched. The error is [ErrMissingLibrary] where the library is not there.
func VerifyWithPython(ctx context.Context, o Options, interpreter string) (*PythonProof, error) {
	s := &source{Options: o}
	defer s.close()
	if err := s.open(formats[o.To].container); err != nil {
		return nil, err
	}
	if s.net == nil {
		return nil, fmt.Errorf("exchange: %s holds no vision transformer that Python could run", o.In)
	}
	dir, err := os.MkdirTemp("", "ibot-verify-")
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	defer os.RemoveAll(dir)
	job, err := s.pythonJob(dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, interpreter, "-c", verifyScript)
	cmd.Stdin = bytes.NewReader(job)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "PYTHONWARNINGS=ignore")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("exchange: %s could not run %s: %w: %s", interpreter, o.Out, err, lastLine(stderr.String()))
	}
	var answer struct {
		PythonProof
		Missing string `json:"missing"`
	}
	if err := json.Unmarshal([]byte(lastLine(string(out))), &answer); err != nil {
		return nil, fmt.Errorf("exchange: %s answered %q: %w", interpreter, lastLine(string(out)), err)
	}
	if answer.Missing != "" {
		return nil, fmt.Errorf("exchange: %w: %s has no %s, so %s was not run by it", ErrMissingLibrary, interpreter, answer.Missing, o.Out)
	}
	if p := answer.PythonProof; !(p.Cls <= Tolerance && p.Patches <= Tolerance) {
		return nil, fmt.Errorf("exchange: %s %s, more than %g", o.Out, p.String(), Tolerance)
	}
	return &answer.PythonProof, nil
}

// lastLine is the last line of a text that has something in it.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// pythonJob writes images and what the network makes of them into dir, and returns what the script
// is told.
func (s *source) pythonJob(dir string) ([]byte, error) {
	values, shape := s.randomImages()
	paths := map[string]string{}
	err := torch.Run(func() (err error) {
		torch.NoGrad(func() {
			x := torch.New(values, shape...)
			tokens := s.net.Forward(nn.Eval, x, nil).To(torch.Float32)
			for name, t := range map[string]*torch.Tensor{"images": x, "cls": tokens.Select(1, 0), "patches": tokens.From(1, 1)} {
				paths[name] = filepath.Join(dir, name)
				err = errors.Join(err, os.WriteFile(paths[name], t.Contiguous().Bytes(), 0o600))
			}
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	prefix, err := train.BackbonePrefix(s.file, s.Net)
	if err != nil {
		return nil, err
	}
	path, err := filepath.Abs(s.Out)
	if err != nil {
		return nil, fmt.Errorf("exchange: %w", err)
	}
	c := s.net.Config
	return json.Marshal(map[string]any{
		"format": s.To, "path": path, "shape": shape, "images": paths["images"], "cls": paths["cls"], "patches": paths["patches"],
		"config": map[string]any{
			"net": s.Net, "prefix": prefix, "embed_dim": c.EmbedDim, "heads": c.NumHeads, "depth": c.Depth, "eps": c.NormEps,
			"patch_size": c.PatchSize, "registers": c.Registers, "mean_pooling": c.MeanPooling, "timm": s.timmArguments(),
		},
	})
}
