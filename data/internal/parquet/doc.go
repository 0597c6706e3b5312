// Package parquet reads single columns of Apache Parquet files, page by page, wherever they lie.
//
// It exists for sets of images: a row is found by the page it lies in, so that an image in the
// midst of a file costs the read of one page and not of a row group. It reads flat and nested
// columns without repetition, of whole numbers and byte strings, in the encodings and codecs that
// Arrow, and so the Hugging Face hub, writes by default and a few others. Every length that a
// file claims is checked against the bytes that are there before memory is taken; a damaged file
// gives an error, never a panic.
//
// The format is that of github.com/apache/parquet-format (parquet.thrift, Encodings.md).
package parquet
