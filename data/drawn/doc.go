// Package drawn makes labelled images of drawn objects: stars, keys, rings, fish and others, up
// to sixteen classes, of any size and number, from a seed.
//
// The set is made for learning without labels in minutes. An image shows six to nine objects of
// one kind, and the kind is its class. All else is drawn from the same distribution in every
// class, most of it anew for each object: place, size, rotation, proportions, colour, pattern,
// and whether the object is lighter or darker than the ground; the light, the shadows and the
// ground are the image's. So neither colours nor raw pixels give the class away, while a network
// that has learnt what stays the same between crops of an image finds it. No class is the mirror
// image of another.
//
// An image depends on the seed and its number alone, and is drawn when it is loaded: a set takes
// no room. At another size the same image is the same picture, drawn finer.
package drawn
