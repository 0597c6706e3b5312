package eval

import "ibot/data"

// ImageNet1K is the set of most published numbers.
const ImageNet1K = "ImageNet-1K"

// SetName is the name under which a set to be scored on is published: [ImageNet1K] for its
// validation images, recognised by their number and their classes; "" for any other.
func SetName(ds data.Dataset) string {
	classes := ds.Classes()
	if ds.Len() == 50_000 && len(classes) == 1000 && classes[0] == "n01440764" && classes[999] == "n15075141" {
		return ImageNet1K
	}
	return ""
}
