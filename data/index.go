package data

import (
	"errors"
	"math"
)

// index is the table of a set: what its images are called, what they show and where they lie. It
// is a few flat columns, because a million strings and structs would be as many things for the
// collector to visit. A folder of 1.3 million images takes 50 MB.
type index struct {
	names   []byte   // one after the other
	ends    []uint32 // where each name ends in names
	labels  []int32  // nil without labels
	classes []string

	// Of a set that is packed into archives:
	shards []string // the archives, in the order of the images
	places []place
	parts  []string // all that the archive has, where this is one of them; see Splits

	skipped []BadImage // what was passed over when the index was made, as far as it is worth a word
	others  Some       // files of a folder that have no ending of an image
}

// place says where the bytes of an image lie in its shard. What the fields mean beyond offset and
// size is up to the kind.
type place struct {
	offset, size, aux int64
	shard, detail     int32
	method, levels    uint8
}

// mostSkipped bounds the list of what was passed over.
const mostSkipped = 10_000

var errNames = errors.New("data: the names of the images take more than 4 GiB; divide the set")

func (x *index) Len() int          { return len(x.ends) }
func (x *index) Classes() []string { return x.classes }

func (x *index) Name(i int) string {
	start := uint32(0)
	if i > 0 {
		start = x.ends[i-1]
	}
	return string(x.names[start:x.ends[i]])
}

func (x *index) Label(i int) int {
	if x.labels == nil {
		return -1
	}
	return int(x.labels[i])
}

// Skipped are the folders, members and so on that were passed over, with the reasons.
func (x *index) Skipped() []BadImage { return x.skipped }

// OtherFiles are the files of a folder that have no ending of an image: how many, and one of each ending.
func (x *index) OtherFiles() Some { return x.others }

// add appends an image by its name. Labels and places are appended beside it.
func (x *index) add(name ...string) error {
	for _, part := range name {
		x.names = append(x.names, part...)
	}
	if len(x.names) > math.MaxUint32 {
		return errNames
	}
	x.ends = append(x.ends, uint32(len(x.names)))
	return nil
}

// skip notes what is passed over.
func (x *index) skip(path string, reason error) {
	if len(x.skipped) < mostSkipped {
		x.skipped = append(x.skipped, BadImage{Path: printable(path), Error: reason.Error(), Index: -1})
	}
}

// shardEnds are the numbers of the images at which each shard ends; nil when the set has none.
func (x *index) shardEnds() []int {
	var ends []int
	for i, p := range x.places {
		if i+1 == len(x.places) || x.places[i+1].shard != p.shard {
			ends = append(ends, i+1)
		}
	}
	return ends
}
