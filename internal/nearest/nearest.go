// Package nearest finds the known word that a misspelt one was probably meant to be, for the
// messages of flags, settings, recipes and parameter names.
package nearest

import "strings"

// maxWord bounds the work on hostile input: the distance costs the product of both lengths.
const maxWord = 512

// plain makes words comparable: people mix up case and dashes without thinking.
var plain = strings.NewReplacer("-", "_")

// Word returns the candidate at the smallest edit distance from word, and whether it is near
// enough to be worth suggesting: a third of the word's letters may be wrong, and at least one.
// Letter case does not count and "-" equals "_". Of equally near candidates the first wins.
func Word(word string, candidates []string) (string, bool) {
	if word == "" || len(word) > maxWord {
		return "", false
	}
	w := []rune(plain.Replace(strings.ToLower(word)))
	limit := max(1, (len(w)+1)/3)
	best, found := "", false
	for _, c := range candidates {
		if len(c) > maxWord {
			continue
		}
		if d := distance(w, []rune(plain.Replace(strings.ToLower(c))), limit); d <= limit {
			best, found, limit = c, true, d-1
		}
	}
	return best, found
}

// distance is the optimal string alignment distance: the fewest insertions, deletions,
// substitutions and swaps of neighbours that turn a into b, where no letter is edited twice.
// It stops with limit+1 once the answer must be larger than limit.
func distance(a, b []rune, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	// Three rows of the table are alive: two back, one back, current.
	older, old, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		smallest := i
		for j := 1; j <= len(b); j++ {
			substitution := old[j-1]
			if a[i-1] != b[j-1] {
				substitution++
			}
			cur[j] = min(old[j]+1, cur[j-1]+1, substitution)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], older[j-2]+1)
			}
			smallest = min(smallest, cur[j])
		}
		if smallest > limit {
			return limit + 1
		}
		older, old, cur = old, cur, older
	}
	return old[len(b)]
}
