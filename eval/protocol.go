package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ibot/data"
	"ibot/internal/settings"
)

// Protocol is one way to score a network: a struct of settings (see [ibot/internal/settings]), whose
// fields are the flags of its verb and lines of the documentation.
//
// A value is used once: Open, then Run.
type Protocol interface {
	// Open opens the images at dir, the value of --data, and says what is wrong with them or with
	// the settings. It is called before the network's weights are read, so it costs little.
	Open(dir string, o data.Options) error
	// Run scores the network of r. When ctx is done it returns ctx's error.
	Run(ctx context.Context, r *Run) (Report, error)
}

// Report is what a protocol found: a struct with JSON tags that is written as one object.
type Report interface {
	// Scores are the numbers that stand for the whole in a table of several protocols, the most
	// quoted one first.
	Scores() []Score
	// Write prints the report for people.
	Write(out io.Writer) error
}

// Score is one number of a [Report].
type Score struct {
	Name     string  `json:"name"`               // what is measured, such as "top-1, k = 20"
	Features string  `json:"features,omitempty"` // of what: see [FeatureSettings.Sources]
	Value    float64 `json:"value"`              // in percent, unless Name says otherwise
	Set      string  `json:"set,omitempty"`      // the published set that the images are; see [SetName]
}

// Published is a number of the paper.
type Published struct {
	Set   string // as [SetName] calls it
	Arch  string // architecture and patch, such as "vit_small/16"
	Score string // as in [Score]
	Value float64
}

// Kind is a registered protocol.
type Kind struct {
	Name    string // of the verb: knn
	Short   string // what it does, in one line of lower case
	Long    string // the same in some sentences, broken at 76 columns
	Example string // command lines, each indented by two spaces
	Data    string // what --data must hold, for --help
	// New returns the settings with their defaults.
	New func() Protocol
	// Published are the paper's numbers.
	Published []Published
}

var kinds []Kind

// Register makes a protocol known. It is meant for init functions, and panics where the name is
// taken or the tags of the settings make no sense.
func Register(k Kind) {
	at, taken := slices.BinarySearchFunc(kinds, k.Name, func(k Kind, name string) int { return strings.Compare(k.Name, name) })
	if taken {
		panic("eval: " + k.Name + " is registered twice")
	}
	settings.Fields(k.New())
	kinds = slices.Insert(kinds, at, k)
}

// Protocols are the registered protocols, sorted by name.
func Protocols() []Kind { return slices.Clone(kinds) }

// SettingError says that a setting of a protocol makes no sense, by itself or with these images or
// this network.
type SettingError struct {
	Setting string // its name
	Problem string // what was wanted and what was found
}

func (e *SettingError) Error() string { return "eval: " + e.Setting + ": " + e.Problem }

// badSetting makes a [SettingError].
func badSetting(name, format string, args ...any) error {
	return &SettingError{name, fmt.Sprintf(format, args...)}
}

// Check returns what is wrong with the settings of p by themselves: a value that is out of its range,
// or else what p's own method Check, where it has one, finds.
func Check(p Protocol) error {
	if errs := settings.Check(p); len(errs) > 0 {
		name, problem, _ := strings.Cut(errs[0].Error(), ": ")
		return &SettingError{name, problem}
	}
	if p, ok := p.(interface{ Check() error }); ok {
		return p.Check()
	}
	return nil
}

// wholeNumbers turns the values of a list setting into numbers of things.
func wholeNumbers(name string, values []float64) ([]int, error) {
	var whole []int
	for _, v := range values {
		n := int(v)
		if float64(n) != v || n > 1<<31-1 {
			return nil, badSetting(name, "want whole numbers, found %v", v)
		}
		whole = append(whole, n)
	}
	return whole, nil
}

// Evaluate runs a protocol as a verb does: it checks the settings, opens the images at dir, then
// loads the network and scores it.
func Evaluate(ctx context.Context, p Protocol, dir string, r *Run) (Report, error) {
	if err := Check(p); err != nil {
		return nil, err
	}
	if dir == "" {
		return nil, errors.New("eval: no images are given; name a folder, a list or an archive of them")
	}
	if err := p.Open(dir, r.sets()); err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	return p.Run(ctx, r)
}
