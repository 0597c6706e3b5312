// Package imaging decodes pictures and transforms them exactly as Pillow and torchvision do: to
// the byte, so that a network trained with either sees the same pixels, in a fifth of the time.
//
// An [Image] is a plain block of bytes. [Decode] makes one from JPEG (through libjpeg-turbo where
// the machine has it), PNG, GIF, WebP, BMP, TIFF or PNM, whatever the file is called; [DecodeWith]
// also as gray, as the N channels of a TIFF, or as far as a truncated file goes. No file makes it
// panic, or take memory for more pixels than it is allowed.
//
// [DecodeIndexed] reads masks, whose pixels are numbers of objects, and [Indexed.Write] writes them.
//
// Geometry ([Image.CropResize], [Image.FlipH], [Image.Transform], [Image.Rotate]) and colour
// ([Jitter], [Image.GaussianBlur], [Image.Solarize], [Image.Equalize]) follow Pillow 9.4;
// [Image.ToCHW] writes the normalised floats that a network takes.
//
// What is drawn at random ([DrawResizedCrop], [DrawJitter], [RandAugment.Draw], [Erasing.Draw],
// [Mixup.Draw]) is kept apart from the work on pixels, so that an augmentation can be logged,
// compared and repeated.
//
// The package knows no tensor library. Its hot loops are C, chosen at run time for the processor;
// every choice gives the same bytes. The containers of the formats are read here, by Pillow's rules;
// their codecs (deflate, LZW, fax, VP8, JPEG) are those of Go's standard library, golang.org/x/image
// and libjpeg-turbo.
package imaging
