package data

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

func init() {
	Register(Kind{
		Name: "webdataset",
		Doc:  "a folder of .tar shards, or a pattern of them such as x-{000..127}.tar",
		Claims: func(path string, info fs.FileInfo) bool {
			if info == nil {
				return isPattern(path) && strings.EqualFold(filepath.Ext(path), ".tar")
			}
			return info.IsDir() && shardsIn(path) == ".tar"
		},
		Open: func(path string, o Options) (Dataset, error) {
			paths, folder, err := shardPaths(path, ".tar")
			if err != nil {
				return nil, err
			}
			return openTars("webdataset", path, paths, folder, o)
		},
	})
}

// mostShards bounds what a pattern stands for.
const mostShards = 1 << 20

// shardPaths are the files that a pattern or a folder stands for: those of a pattern in its
// order, those of a folder with the given ending by name. folder is the folder, where it was one.
func shardPaths(path, ending string) (paths, folder []string, err error) {
	info, err := os.Stat(path)
	if err != nil {
		paths, err := expand(path)
		return paths, nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil, nil
	}
	dir := path
	if direct, _ := endingIn(dir); direct == "" {
		dir = filepath.Join(path, "data")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("data: cannot list %s: %w", dir, err)
	}
	for _, e := range entries {
		if !hidden(e.Name()) && strings.EqualFold(filepath.Ext(e.Name()), ending) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, nil, fmt.Errorf("data: %s holds no %s files", path, ending)
	}
	return paths, []string{dir}, nil
}

// expand returns the files that a pattern stands for: the numbers of {000..127} and the names of
// {a,b} as a shell has them, each of which must be there, and the files that *, ? and [a-z] match.
func expand(pattern string) ([]string, error) {
	all, err := expandBraces(pattern)
	if err != nil {
		return nil, fmt.Errorf("data: %s: %w", pattern, err)
	}
	var paths []string
	for _, one := range all {
		if !strings.ContainsAny(one, "*?[") {
			if _, err := os.Stat(one); err != nil {
				return nil, fmt.Errorf("data: %s stands for %d files, of which %s is not there: %w", pattern, len(all), one, err)
			}
			paths = append(paths, one)
			continue
		}
		found, err := filepath.Glob(one) // sorted
		if err != nil {
			return nil, fmt.Errorf("data: %s is no pattern: %w", pattern, err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("data: %s matches no file; %s: %w", pattern, surroundings(pattern), fs.ErrNotExist)
	}
	return paths, nil
}

// expandBraces expands the first braces of a pattern, and so on.
func expandBraces(pattern string) ([]string, error) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		return []string{pattern}, nil
	}
	length := strings.IndexByte(pattern[open:], '}')
	if length < 0 {
		return nil, fmt.Errorf("a brace is not closed")
	}
	inside, rest := pattern[open+1:open+length], pattern[open+length+1:]
	choices := strings.Split(inside, ",")
	if from, to, isRange := strings.Cut(inside, ".."); isRange {
		lo, errLo := strconv.Atoi(from)
		hi, errHi := strconv.Atoi(to)
		if errLo != nil || errHi != nil || lo < 0 || hi < lo || hi-lo >= mostShards {
			return nil, fmt.Errorf("{%s} is no range such as {000..127}", inside)
		}
		choices = make([]string, 0, hi-lo+1)
		for n := lo; n <= hi; n++ {
			choices = append(choices, fmt.Sprintf("%0*d", len(from), n))
		}
	}
	tails, err := expandBraces(rest)
	if err != nil {
		return nil, err
	}
	if len(choices)*len(tails) > mostShards {
		return nil, fmt.Errorf("it stands for more than %d files", mostShards)
	}
	var all []string
	for _, choice := range choices {
		for _, tail := range tails {
			all = append(all, pattern[:open]+choice+tail)
		}
	}
	return slices.Clip(all), nil
}
