// Package drawn makes labelled images of drawn objects: stars, keys, mugs, fish and others, up
// to sixteen classes, of any size and number, from a seed.
//
// The set is made for learning without labels in minutes. What tells the classes apart is the
// shape of one object an image, which fills about half of the side. All else is drawn from the
// same distribution in every class: the object's place, size, rotation, proportions, colour,
// pattern and light, its shadow, and the colour, pattern and clutter of the background, light on
// dark as often as dark on light. So neither colours nor raw pixels give the class away, while a
// network that has learned what stays the same between crops of an image finds it. No class is
// the mirror image of another.
//
// An image depends on the seed and its number alone, and is drawn when it is loaded: a set takes
// no room. At another size the same image is the same picture, drawn finer.
package drawn
