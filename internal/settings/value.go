package settings

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Interval is where a number may lie. The zero Interval allows every finite number.
type Interval struct {
	text           string // as in the tag
	lo, hi         float64
	openLo, openHi bool // whether the end itself is left out
}

// parseInterval reads a range tag: "[0,1)", "[1,)", "(0,)".
func parseInterval(tag string) Interval {
	if tag == "" {
		return Interval{}
	}
	r := Interval{text: tag, lo: math.Inf(-1), hi: math.Inf(1)}
	body := strings.Trim(tag, "[]()")
	lo, hi, ok := strings.Cut(body, ",")
	ok = ok && len(body) == len(tag)-2
	end := func(text string, to *float64) {
		if text != "" {
			v, err := strconv.ParseFloat(text, 64)
			*to, ok = v, ok && err == nil
		}
	}
	end(lo, &r.lo)
	end(hi, &r.hi)
	if !ok || r.lo > r.hi {
		panic(fmt.Sprintf("settings: range tag %q: want an interval such as [0,1] or (0,)", tag))
	}
	r.openLo, r.openHi = tag[0] == '(', tag[len(tag)-1] == ')'
	return r
}

// contains reports whether v lies in the interval.
func (r Interval) contains(v float64) bool {
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return false
	case r.text == "":
		return true
	}
	return (v > r.lo || v == r.lo && !r.openLo) && (v < r.hi || v == r.hi && !r.openHi)
}

// String says in words where the numbers lie: "at least 1", "above 0", "from 0 to below 1". It
// is empty for the zero Interval.
func (r Interval) String() string {
	lo, hi := short(r.lo), short(r.hi)
	switch noLo, noHi := math.IsInf(r.lo, -1), math.IsInf(r.hi, 1); {
	case r.text == "" || noLo && noHi:
		return ""
	case noHi && r.openLo:
		return "above " + lo
	case noHi:
		return "at least " + lo
	case noLo && r.openHi:
		return "below " + hi
	case noLo:
		return "at most " + hi
	case r.openLo && r.openHi:
		return "above " + lo + " and below " + hi
	case r.openLo:
		return "above " + lo + " and at most " + hi
	case r.openHi:
		return "from " + lo + " to below " + hi
	}
	return "from " + lo + " to " + hi
}

// short writes a number in as few digits as give it back, and whole ones without an exponent.
func short(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// wanted says what the field takes, for errors.
func (f Field) wanted() string {
	switch {
	case len(f.Choices) > 0:
		return "one of " + strings.Join(f.Choices, ", ")
	case f.typ == durationType:
		return "a time such as 90s or 1h30m"
	}
	within := f.Range.String()
	if strings.HasPrefix(within, "at ") {
		within = "of " + within // "a whole number of at least 1"
	}
	if within != "" {
		within = " " + within
	}
	switch f.typ.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number" + within
	case reflect.Float64:
		return "a number" + within
	case reflect.Array:
		return "two numbers" + within
	case reflect.Slice:
		return "one number or more" + within
	}
	return "a text"
}

// parse stores the value that the words spell in dst. A field that is not a list takes exactly
// one word. Dst is left alone when there is an error.
func (f Field) parse(dst reflect.Value, words ...string) error {
	fresh := reflect.New(f.typ).Elem()
	ok := len(words) == 1
	if ok || f.typ == listType || f.typ == pairType {
		ok = f.parseWords(fresh, words)
	}
	if ok {
		ok = f.allows(fresh)
	}
	if !ok {
		return fmt.Errorf("want %s, found %s", f.wanted(), found(words))
	}
	dst.Set(fresh)
	return nil
}

// parseWords is parse without the check of choices and ranges.
func (f Field) parseWords(dst reflect.Value, words []string) bool {
	var err error
	switch dst := dst.Addr().Interface().(type) {
	case *string:
		*dst = f.choice(words[0])
	case *bool:
		var known bool
		*dst, known = parseBool(words[0])
		return known
	case *int:
		*dst, err = strconv.Atoi(words[0])
	case *float64:
		*dst, err = strconv.ParseFloat(words[0], 64)
	case *time.Duration:
		*dst, err = time.ParseDuration(words[0])
	case *[]float64:
		*dst, err = parseFloats(words)
		return err == nil && (len(words) > 0 || f.Empty)
	case *[2]float64:
		var both []float64
		both, err = parseFloats(words)
		return err == nil && copy(dst[:], both) == 2 && len(both) == 2
	}
	return err == nil
}

// choice returns the choice that text spells in other letters' case, and otherwise text itself.
func (f Field) choice(text string) string {
	for _, c := range f.Choices {
		if strings.EqualFold(c, text) {
			return c
		}
	}
	return text
}

// parseBool reads the words that the reference's bool_flag takes, and yes and no.
func parseBool(word string) (value, ok bool) {
	switch strings.ToLower(word) {
	case "true", "1", "on", "yes":
		return true, true
	case "false", "0", "off", "no":
		return false, true
	}
	return false, false
}

func parseFloats(words []string) ([]float64, error) {
	list := make([]float64, len(words))
	for i, w := range words {
		var err error
		if list[i], err = strconv.ParseFloat(w, 64); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// allows reports whether a value is among the field's choices and in its range.
func (f Field) allows(v reflect.Value) bool {
	switch v := v.Interface().(type) {
	case string:
		return f.Choices == nil || slices.Contains(f.Choices, v)
	case int:
		return f.Range.contains(float64(v))
	case float64:
		return f.Range.contains(v)
	case time.Duration:
		return f.Range.contains(v.Seconds())
	case []float64:
		for _, x := range v {
			if !f.Range.contains(x) {
				return false
			}
		}
		return len(v) > 0 || f.Empty
	case [2]float64:
		return f.Range.contains(v[0]) && f.Range.contains(v[1])
	}
	return true
}

// format writes a value as the words of a command line.
func format(v reflect.Value) []string {
	switch v := v.Interface().(type) {
	case float64:
		return []string{short(v)}
	case []float64:
		return shorts(v)
	case [2]float64:
		return shorts(v[:])
	default: // string, bool, int, time.Duration
		return []string{fmt.Sprint(v)}
	}
}

func shorts(list []float64) []string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = short(v)
	}
	return texts
}

// found quotes what was given instead, at a length that keeps an error on one line.
func found(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	text := []rune(strings.Join(words, " "))
	if len(text) > 60 {
		text = append(text[:57], []rune("...")...)
	}
	return strconv.Quote(string(text))
}

// Check returns an error for every setting of the struct behind ptr that is not among its
// choices or not in its range, such as
//
//	epochs: want a whole number of at least 1, found "0"
//
// Flags and YAML are checked as they are read; Check is for structs that a program filled.
func Check(ptr any) []error {
	v := structOf(ptr)
	var errs []error
	for _, f := range Fields(ptr) {
		if value := f.of(v); !f.allows(value) {
			errs = append(errs, fmt.Errorf("%s: want %s, found %s", f.Name, f.wanted(), found(format(value))))
		}
	}
	return errs
}
