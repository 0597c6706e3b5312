package eval

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"ibot/ckpt"
	"ibot/data"
	"ibot/torch"
)

// keptProbe is the file in which a probe keeps where it is, so that it goes on there after an interruption and
// comes to the same heads as without one. Its methods do nothing for nil.
type keptProbe struct {
	path string
	note func(note string)
	bad  map[int]data.BadImage // those of the images to learn from that could not be read; nil where they are known

	saved time.Time
}

// keptEvery is how long heads are trained before they are kept again. They are kept when ctx is done, too: this
// is for what comes without a warning.
const keptEvery = 10 * time.Minute

// probePlace is how far a probe is.
type probePlace struct {
	Epoch int `json:"epoch"` // under way, counted from 0
	Step  int `json:"step"`  // the next batch of it
}

// probeState is what stands in the file beside the arrays.
type probeState struct {
	probePlace
	Kinds []probeKind           `json:"kinds"` // of features, each with heads of its own
	Bad   map[int]data.BadImage `json:"bad_images"`
}

type probeKind struct {
	Heads []Head `json:"heads"`
	Best  int    `json:"best"`
}

// keepProbe names the file of a probe in the folder of features; nil where none are kept. The name stands for all
// that the heads depend on: settings, network, images and what about says of the features.
func (r *Run) keepProbe(s ProbeSettings, source string, sets labelledSets, o ExtractOptions, about About, cached bool) (*keptProbe, error) {
	if r.Cache == "" {
		return nil, nil
	}
	about, err := r.complete(about, source, sets.train, o)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.Cache, 0o777); err != nil {
		return nil, fmt.Errorf("eval: cannot make the folder for features: %w; name another with --cache, or none", err)
	}
	settings := fmt.Sprintf("%v %v %+v %v %v", about.key(), ImagesDigest(sets.val), s, cached, r.Device.Type)
	sum := sha256.Sum256([]byte(settings))
	note := r.Note
	if note == nil {
		note = func(string) {}
	}
	return &keptProbe{path: filepath.Join(r.Cache, "heads-"+hex.EncodeToString(sum[:12])+".safetensors"), note: note, saved: time.Now()}, nil
}

// arrays are the tensors that the heads consist of, by name.
func (s *sweep) arrays() map[string]*torch.Tensor {
	all := map[string]*torch.Tensor{}
	for i, g := range s.groups {
		for name, t := range map[string]*torch.Tensor{
			"weight": g.weight, "bias": g.bias, "weight.momentum_buffer": g.momentumW, "bias.momentum_buffer": g.momentumB,
		} {
			all[fmt.Sprintf("%d.%s", i, name)] = t
		}
	}
	return all
}

// save writes where the heads of a probe are.
func (k *keptProbe) save(at probePlace, sweeps []*sweep, all []*probed) error {
	state, c := probeState{probePlace: at, Bad: k.bad}, ckpt.New()
	err := torch.Run(func() error {
		for i, s := range sweeps {
			state.Kinds = append(state.Kinds, probeKind{s.heads, all[i].Best})
			tensors := s.arrays()
			if all[i].Best >= 0 {
				tensors["best.weight"], tensors["best.bias"] = all[i].Weight, all[i].Bias
			}
			for name, t := range tensors {
				if err := c.Add(fmt.Sprintf("%d.%s", i, name), ckpt.FromFloat32(t.Shape(), t.Floats())); err != nil {
					return err
				}
			}
		}
		text, err := json.Marshal(state)
		c.Meta = map[string]string{"ibot_probe": string(text)}
		return err
	})
	if err == nil {
		err = ckpt.Write(k.path, c)
	}
	if err != nil {
		return fmt.Errorf("eval: the heads cannot be kept: %w", err)
	}
	k.saved = time.Now()
	return nil
}

// after keeps the heads after an epoch, if that was not done for a while.
func (k *keptProbe) after(at probePlace, sweeps []*sweep, all []*probed) error {
	if k == nil || time.Since(k.saved) < keptEvery {
		return nil
	}
	return k.save(probePlace{Epoch: at.Epoch + 1}, sweeps, all)
}

// interrupted keeps the heads of a probe that ends early, and says so.
func (k *keptProbe) interrupted(at probePlace, sweeps []*sweep, all []*probed) {
	if k == nil || at == (probePlace{}) {
		return
	}
	if err := k.save(at, sweeps, all); err != nil {
		k.note(err.Error())
		return
	}
	k.note(fmt.Sprintf("the heads are kept in epoch %d; the same command goes on from there", at.Epoch+1))
}

// remove removes the file of a probe that is done.
func (k *keptProbe) remove() error {
	if k == nil {
		return nil
	}
	if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// restore brings heads to where they were kept, and returns where that is.
func (k *keptProbe) restore(epochs int, sweeps []*sweep, all []*probed) (at probePlace, err error) {
	if k == nil {
		return at, nil
	}
	c, err := ckpt.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return at, nil
	}
	if err == nil {
		defer c.Close()
		at, err = k.read(c, epochs, sweeps, all)
	}
	if err != nil {
		return at, fmt.Errorf("eval: %s does not hold the heads that were kept: %w; remove it to begin anew", k.path, err)
	}
	k.note(fmt.Sprintf("going on in epoch %d with the heads that were kept", at.Epoch+1))
	return at, nil
}

func (k *keptProbe) read(c *ckpt.Checkpoint, epochs int, sweeps []*sweep, all []*probed) (probePlace, error) {
	var state probeState
	if err := json.Unmarshal([]byte(c.Meta["ibot_probe"]), &state); err != nil {
		return state.probePlace, err
	}
	if state.Epoch < 0 || state.Epoch > epochs || state.Step < 0 || len(state.Kinds) != len(sweeps) {
		return state.probePlace, fmt.Errorf("epoch %d, step %d and %d kinds of features make no sense", state.Epoch, state.Step, len(state.Kinds))
	}
	err := torch.Run(func() error {
		for i, s := range sweeps {
			kind := state.Kinds[i]
			if len(kind.Heads) != len(s.heads) || kind.Best < -1 || kind.Best >= len(s.heads) {
				return fmt.Errorf("want %d heads, found %d of which number %d is the best", len(s.heads), len(kind.Heads), kind.Best)
			}
			tensors := s.arrays()
			if kind.Best >= 0 {
				d := s.groups[0].weight.Device()
				all[i].Weight, all[i].Bias = torch.Empty(torch.Float32, d, s.C, s.D).Own(), torch.Empty(torch.Float32, d, s.C).Own()
				tensors["best.weight"], tensors["best.bias"] = all[i].Weight, all[i].Bias
			}
			for name, t := range tensors {
				a, err := c.Array(fmt.Sprintf("%d.%s", i, name))
				if err != nil {
					return err
				}
				values, err := a.Float32()
				if err != nil {
					return err
				}
				torch.Fill(t, values)
			}
			copy(s.heads, kind.Heads)
			all[i].Best = kind.Best
		}
		return nil
	})
	if err == nil && k.bad != nil {
		maps.Copy(k.bad, state.Bad)
	}
	return state.probePlace, err
}
