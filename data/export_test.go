package data

import "bytes"

// DecodeIndex reads an index file without a look at what it was made from.
func DecodeIndex(file []byte) (Dataset, error) {
	d := newDecoder(bytes.NewReader(file), int64(len(file)))
	d.text()
	d.stamps()
	x, err := d.index()
	if err != nil {
		return nil, err
	}
	return &files{index: x}, nil
}
