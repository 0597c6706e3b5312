// Package imaging decodes pictures and transforms them exactly as Pillow and torchvision do: to
// the byte, so that a network trained with either sees the same pixels, in a fifth of the time.
//
// An [Image] is a plain block of bytes. [Decode] makes one from JPEG (through libjpeg-turbo where
// the machine has it), PNG, GIF, WebP, BMP or TIFF. Geometry ([Image.CropResize], [Image.FlipH])
// and colour ([Jitter], [Image.GaussianBlur], [Image.Solarize]) follow Pillow 9.4; [Image.ToCHW]
// writes the normalised floats that a network takes.
//
// What is drawn at random ([DrawResizedCrop], [DrawJitter]) is kept apart from the work on pixels,
// so that an augmentation can be logged, compared and repeated.
//
// The package knows no tensor library. Its hot loops are C, chosen at run time for the processor;
// every choice gives the same bytes.
package imaging
