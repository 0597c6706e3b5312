package eval

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ibot/ckpt"
	"ibot/internal/mat"
)

// groundTruth says which images of a database a search for each query should find. Images are named
// without their ending, as in the files of Revisited Oxford and Paris.
type groundTruth struct {
	Database []string     `json:"imlist"`
	Queries  []string     `json:"qimlist"`
	Relevant []relevantTo `json:"gnd"` // for each query
}

// relevantTo are numbers of database images that show what a query shows.
type relevantTo struct {
	Easy []int `json:"easy"`
	Hard []int `json:"hard"`
	Junk []int `json:"junk"` // show too little of it to count
}

// truthLayout is what a folder with ground truth looks like.
const truthLayout = `want the layout of Revisited Oxford or Paris:
  DIR/gnd_NAME.pkl (or .mat, .json)   lists imlist and qimlist of names, and gnd: for each query its easy, hard and junk images
  DIR/jpg/NAME.jpg                    the images
or class folders, where the images of a class are relevant to each other`

// maxTruth bounds a file of ground truth. That of Revisited Paris has a quarter of a megabyte.
const maxTruth = 16 << 20

// readTruth reads a ground truth of the format that its name ends in.
func readTruth(path string) (*groundTruth, error) {
	ending := strings.ToLower(filepath.Ext(path))
	read := map[string]func(path string) (*groundTruth, error){".json": truthJSON, ".pkl": truthPickle, ".mat": truthMAT}[ending]
	switch {
	case ending == ".npy" || ending == ".npz": // none of the sets comes as one
		return nil, fmt.Errorf("eval: %s: a NumPy array has no lists of several lengths but as Python objects, which are not read; store the same dict with pickle.dump or json.dump, and name that file", path)
	case read == nil:
		return nil, fmt.Errorf("eval: %s: ground truth is read from files that end in .pkl, .mat or .json", path)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("eval: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("eval: %s is no file", path)
	case info.Size() > maxTruth:
		return nil, fmt.Errorf("eval: %s has %d bytes, more than ground truth has", path, info.Size())
	}
	g, err := read(path)
	if err == nil {
		err = g.check()
	}
	if err != nil {
		return nil, fmt.Errorf("eval: ground truth %s: %w", path, err)
	}
	return g, nil
}

// check holds the parts against each other.
func (g *groundTruth) check() error {
	switch {
	case len(g.Database) == 0 || len(g.Queries) == 0:
		return fmt.Errorf("it has %d images (imlist) and %d queries (qimlist); want both", len(g.Database), len(g.Queries))
	case len(g.Relevant) != len(g.Queries):
		return fmt.Errorf("it has %d queries, but the relevant images (gnd) of %d", len(g.Queries), len(g.Relevant))
	}
	for _, name := range slices.Concat(g.Database, g.Queries) {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("it names the image %q, which is not below the folder of images", name)
		}
	}
	for i, relevant := range g.Relevant {
		for _, image := range slices.Concat(relevant.Easy, relevant.Hard, relevant.Junk) {
			if image < 0 || image >= len(g.Database) {
				return fmt.Errorf("query %d (%s) has the relevant image %d, but imlist has %d images", i, g.Queries[i], image, len(g.Database))
			}
		}
	}
	return nil
}

func truthJSON(path string) (*groundTruth, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	g := &groundTruth{}
	return g, json.Unmarshal(b, g)
}

// truthPickle reads what Python pickled: texts and lists, or NumPy arrays, of the same names.
func truthPickle(path string) (*groundTruth, error) {
	c, err := ckpt.OpenPickle(path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	g := &groundTruth{}
	if g.Database, err = texts(c, "imlist"); err != nil {
		return nil, err
	}
	if g.Queries, err = texts(c, "qimlist"); err != nil {
		return nil, err
	}
	for i := range g.Queries {
		var relevant relevantTo
		for _, list := range []struct {
			name string
			into *[]int
		}{{"easy", &relevant.Easy}, {"hard", &relevant.Hard}, {"junk", &relevant.Junk}} {
			if *list.into, err = wholes(c, fmt.Sprintf("gnd.%d.%s", i, list.name)); err != nil {
				return nil, err
			}
		}
		g.Relevant = append(g.Relevant, relevant)
	}
	return g, nil
}

// texts are the texts of a pickled list or array.
func texts(c *ckpt.Checkpoint, name string) (list []string, err error) {
	if c.Has(name) {
		a, err := c.Array(name)
		if err != nil {
			return nil, err
		}
		return a.Strings()
	}
	if err := json.Unmarshal([]byte(c.Meta[name]), &list); err != nil {
		return nil, fmt.Errorf("it has no list of names %q", name)
	}
	return list, nil
}

// wholes are the whole numbers of a pickled list or array.
func wholes(c *ckpt.Checkpoint, name string) (list []int, err error) {
	if c.Has(name) {
		a, err := c.Array(name)
		if err != nil {
			return nil, err
		}
		if a.Len() == 0 { // np.array([]) is of floats
			return nil, nil
		}
		numbers, err := a.Int64()
		for _, n := range numbers {
			list = append(list, int(n))
		}
		return list, err
	}
	if err := json.Unmarshal([]byte(c.Meta[name]), &list); err != nil {
		return nil, fmt.Errorf("it has no list of image numbers %q", name)
	}
	return list, nil
}

// truthMAT reads what MATLAB saved, which counts images from 1.
func truthMAT(path string) (*groundTruth, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	variables, err := mat.Parse(b)
	if err != nil {
		return nil, err
	}
	g := &groundTruth{}
	for _, list := range []struct {
		name string
		into *[]string
	}{{"imlist", &g.Database}, {"qimlist", &g.Queries}} {
		for _, cell := range variables[list.name].Cells {
			*list.into = append(*list.into, cell.Text)
		}
	}
	fields := variables["gnd"].Fields
	for i := range fields["easy"] { // of every field there is one for each query
		var relevant relevantTo
		for _, list := range []struct {
			name string
			into *[]int
		}{{"easy", &relevant.Easy}, {"hard", &relevant.Hard}, {"junk", &relevant.Junk}} {
			if i >= len(fields[list.name]) {
				return nil, fmt.Errorf("its gnd has no field %q", list.name)
			}
			for _, n := range fields[list.name][i].Numbers {
				if n != float64(int(n)) {
					return nil, fmt.Errorf("query %d has the relevant image %v; want whole numbers", i+1, n)
				}
				*list.into = append(*list.into, int(n)-1)
			}
		}
		g.Relevant = append(g.Relevant, relevant)
	}
	return g, nil
}

// findTruth is the one file of ground truth in a folder; "" where there is none.
func findTruth(dir string) (string, error) {
	var found []string
	for _, ending := range []string{"pkl", "mat", "json"} {
		matches, err := filepath.Glob(filepath.Join(escapeGlob(dir), "gnd*."+ending))
		if err != nil {
			return "", fmt.Errorf("eval: %w", err)
		}
		if len(matches) > 1 {
			return "", fmt.Errorf("eval: %s has %s; name the one that is meant with --truth", dir, strings.Join(matches, " and "))
		}
		found = append(found, matches...)
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil // the same in other formats
}

// escapeGlob makes a path stand for itself in a pattern.
func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// locate finds the files of images in a folder, which are named with or without an ending.
func locate(dir string, names []string) ([]string, error) {
	endings := []string{"", ".jpg", ".jpeg", ".png", ".JPG", ".webp"}
	files := make([]string, 0, len(names))
	var missing []string
	for _, name := range names {
		at := slices.IndexFunc(endings, func(ending string) bool {
			info, err := os.Stat(filepath.Join(dir, name+ending))
			return err == nil && !info.IsDir()
		})
		if at < 0 {
			missing = append(missing, name)
			continue
		}
		files = append(files, name+endings[at])
	}
	if n := len(missing); n > 0 {
		return nil, fmt.Errorf("eval: the ground truth names %d images, of which %d are not in %s, such as %s; complete the images, or take them out of the ground truth",
			len(names), n, dir, strings.Join(missing[:min(n, 3)], ", "))
	}
	return files, nil
}
