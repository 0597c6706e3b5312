package method

// NewMaskFilled is NewMask with masked patches filled up to a multiple, as on a GPU.
var NewMaskFilled = newMask
