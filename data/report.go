package data

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// many is n of something, with the word for one of it or for several.
func many(n int, one, several string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + several
}

// advise says in plain words what the findings mean for training with images of so many channels.
func (r *Report) advise(inChans int) []string {
	advice := []string{}
	say := func(format string, args ...any) { advice = append(advice, fmt.Sprintf(format, args...)) }
	for _, p := range r.Parts {
		name := p.Name
		if name == "" {
			name = "the set"
		}
		switch allowed := allowedBad(p.Images); {
		case p.Unreadable > allowed:
			say("%d of %s of %s cannot be read. Training stops above %d: repair or remove them.", p.Unreadable, images(p.Images), name, allowed)
		case p.Unreadable > 0:
			say("%d of %s of %s cannot be read. Training puts the next image in the place of each.", p.Unreadable, images(p.Images), name)
		}
		if p.Unlabelled > 0 && len(p.Classes) > 0 {
			say("%s no label. Pre-training does not mind; evaluations leave them out.",
				many(p.Unlabelled, "image of "+name+" has", "images of "+name+" have"))
		}
		if least, most := p.extremes(); len(p.Classes) > 1 && most.Images > 10*max(1, least.Images) {
			say("The classes of %s are uneven: %s has %s, %s has %d. Pre-training does not mind; read accuracies class by class.",
				name, least.Name, images(least.Images), most.Name, most.Images)
		}
	}
	if len(r.Parts) > 1 {
		r.adviseParts(say)
	}
	if len(r.Skipped) > 0 {
		say("%s passed over, e.g. %s: %s.", many(len(r.Skipped), "entry was", "entries were"), r.Skipped[0].Path, r.Skipped[0].Error)
	}
	if extra := r.Duplicates.Images - r.Duplicates.Count; extra > 0 {
		say("%s of others. They count double in training; a few do no harm.", many(extra, "image is an exact copy", "images are exact copies"))
	}
	seen := 0
	for _, n := range r.Channels {
		seen += n
	}
	if r.Small > 0 {
		say("%s a side under 32 pixels. Crops of 224 pixels blow them up: set --img_size and --local_size to what the images have.", have(r.Small))
	}
	if r.Long > 0 {
		say("%s more than four times as long as wide. Crops show little of them at a time.", many(r.Long, "image is", "images are"))
	}
	gray, alpha := r.Channels["1"], r.Channels["2"]+r.Channels["4"]
	switch {
	case inChans != 3: // gray images are read as they are, or cannot be
	case gray > 0 && gray == seen:
		say("All images are gray. --in_chans 1 reads them so and saves a part of the work; without it they become RGB.")
	case gray == 1:
		say("1 of %s is gray. It becomes RGB of three equal channels.", images(seen))
	case gray > 0:
		say("%d of %s are gray. They become RGB of three equal channels.", gray, images(seen))
	}
	if mixed := map[int]string{1: "gray", 3: "RGB"}[inChans]; mixed != "" && alpha > 0 {
		say("%s transparency or CMYK inks. Transparency is dropped, inks are mixed to %s.", have(alpha), mixed)
	}
	for _, channels := range slices.Sorted(maps.Keys(r.Channels)) {
		if n, _ := strconv.Atoi(channels); n > 4 && n != inChans {
			say("%s %s channels. --in_chans %s reads all of them as they are.", have(r.Channels[channels]), channels, channels)
		}
	}
	if deep := r.Depths["16"]; deep > 0 {
		say("%s 16 bits a channel, of which the higher 8 are used.", have(deep))
	}
	if r.Misnamed.Count > 0 {
		say("%s, e.g. %s. That does no harm: the content decides.",
			many(r.Misnamed.Count, "file is named as another format than it is", "files are named as another format than they are"), r.Misnamed.First[0])
	}
	if len(advice) == 0 {
		say("Nothing stands out. The set is ready for training.")
	}
	return advice
}

// adviseParts compares the parts.
func (r *Report) adviseParts(say func(string, ...any)) {
	if r.Across.Count > 0 {
		say("%s in several parts, e.g. %s. Scores on val count what was learnt by heart: remove them from one.",
			many(r.Across.Count, "image lies", "images lie"), strings.Join(r.Across.First[0][:min(3, len(r.Across.First[0]))], " and "))
	}
	known := map[string]bool{}
	for _, c := range r.Parts[0].Classes {
		known[c.Name] = true
	}
	for _, p := range r.Parts[1:] {
		var foreign []string
		for _, c := range p.Classes {
			if !known[c.Name] {
				foreign = append(foreign, c.Name)
			}
		}
		if len(foreign) > 0 {
			class, are := "classes", "are"
			if len(foreign) == 1 {
				class, are = "class", "is"
			}
			say("The %s %s of %s %s not in %s. Evaluations refuse that: give both the same class names.", class, few(foreign, 5), p.Name, are, r.Parts[0].Name)
		}
	}
}

func groups(n int) string { return many(n, "group", "groups") }
func images(n int) string { return many(n, "image", "images") }
func have(n int) string   { return many(n, "image has", "images have") }

func (r *Report) readable() int { return r.Images - len(r.Unreadable) }

// extremes are the classes with the fewest and the most images.
func (p PartReport) extremes() (least, most ClassCount) {
	for i, c := range p.Classes {
		if i == 0 || c.Images < least.Images {
			least = c
		}
		if i == 0 || c.Images > most.Images {
			most = c
		}
	}
	return least, most
}

// WriteJSON writes the report as one JSON object.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteText writes the report for people, with the first twenty entries of each list.
func (r *Report) WriteText(w io.Writer) error {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	line("images", "%d, of which %d cannot be read", r.Images, len(r.Unreadable))
	for _, p := range r.Parts {
		r.writePart(line, p)
	}
	if r.readable() > 0 {
		line("width", "%s pixels", r.Width)
		line("height", "%s pixels", r.Height)
		line("size", "%s to %s, median %s", bytesOf(r.Bytes.Min), bytesOf(r.Bytes.Max), bytesOf(r.Bytes.Median))
		line("formats", "%s", counts(r.Formats))
		line("channels", "%s", counts(r.Channels))
		line("bits", "%s", counts(r.Depths))
	}
	line("duplicates", "%s of %s; %s across parts", groups(r.Duplicates.Count), images(r.Duplicates.Images), groups(r.Across.Count))
	if r.Others.Count > 0 {
		line("beside", "%s, such as %s", many(r.Others.Count, "file with another ending", "files with other endings"),
			strings.Join(r.Others.First[:min(2, len(r.Others.First))], " and "))
	}
	list := func(title string, n int, item func(i int) string) {
		if n > 0 {
			fmt.Fprintf(&b, "\n%s\n", title)
		}
		for i := range min(n, mostNames) {
			fmt.Fprintf(&b, "  %s\n", item(i))
		}
		if n > mostNames {
			fmt.Fprintf(&b, "  and %d more\n", n-mostNames)
		}
	}
	bad := func(all []BadImage) func(int) string {
		return func(i int) string { return all[i].Path + ": " + all[i].Error }
	}
	list("Unreadable", len(r.Unreadable), bad(r.Unreadable))
	list("Passed over", len(r.Skipped), bad(r.Skipped))
	list("In several parts", len(r.Across.First), func(i int) string { return few(r.Across.First[i], 4) })
	title, within := "Exact duplicates", r.within()
	if len(r.Across.First) > 0 {
		title = "Other exact duplicates"
	}
	list(title, len(within), func(i int) string { return few(within[i], 4) })
	list("Advice", len(r.Advice), func(i int) string { return "- " + r.Advice[i] })
	_, err := io.WriteString(w, b.String())
	return err
}

// within are the duplicates that lie in one part, of those that are kept.
func (r *Report) within() [][]string {
	across := map[string]bool{} // by the first name of a group
	for _, group := range r.Across.First {
		across[group[0]] = true
	}
	return slices.DeleteFunc(slices.Clone(r.Duplicates.First), func(group []string) bool { return across[group[0]] })
}

func (r *Report) writePart(line func(name, format string, args ...any), p PartReport) {
	name := p.Name
	if name == "" {
		name = "labels"
	}
	if len(p.Classes) == 0 {
		line(name, "%s without labels", images(p.Images))
		return
	}
	least, most := p.extremes()
	each := fmt.Sprintf("%d each", least.Images)
	if most.Images > least.Images {
		each = fmt.Sprintf("%d (%s) to %d (%s) each", least.Images, least.Name, most.Images, most.Name)
	}
	line(name, "%s of %s, %s; %d without a label", images(p.Images), many(len(p.Classes), "class", "classes"), each, p.Unlabelled)
}

func (s Spread) String() string { return fmt.Sprintf("%d to %d, median %d", s.Min, s.Max, s.Median) }

// counts lists what was counted, the most frequent first.
func counts(m map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	for i, key := range keys {
		keys[i] = key + ": " + strconv.Itoa(m[key])
	}
	return strings.Join(keys, ", ")
}

func bytesOf(n int64) string {
	switch {
	case n < 10_000:
		return fmt.Sprintf("%d B", n)
	case n < 10_000_000:
		return fmt.Sprintf("%d kB", n/1000)
	}
	return fmt.Sprintf("%d MB", n/1_000_000)
}
