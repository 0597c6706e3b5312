// Package ckpt moves named arrays between checkpoint files and host memory. It knows no tensor
// engine and executes nothing it finds in a file.
//
// [Open] recognises a file by its content:
//
//	safetensors   read and written; the format of this program's own checkpoints; also in shards
//	pth           read and written; what torch.save writes since PyTorch 1.6 (a zip with a pickle in
//	              it), and read: what it wrote before
//	onnx          the weights are read; ckpt/onnx reads and writes whole models
//	npz, npy      read; NumPy's
//
// and folders of Hugging Face.
//
// Opening reads names, types and shapes. The numbers are read when [Checkpoint.Array] asks for
// one of them: from a memory map where the file holds them as they are, so that a file much
// larger than the memory can be listed, compared and loaded array by array.
//
// # Nesting
//
// A .pth file holds one Python object, most often dicts in dicts. Its tensors are named by the
// keys that lead to them, joined by dots: student.module.backbone.cls_token or
// optimizer.state.0.exp_avg. All that is not a tensor goes to [Checkpoint.Meta] under the same
// kind of name, as JSON text: Meta["epoch"] is "100", Meta["args.arch"] is "\"vit_small\"".
// [Checkpoint.Object] gives the object itself, and [WritePth] writes one.
//
// # Trust
//
// Files come from strangers. Sizes that a file claims are checked against the bytes it has
// before memory is set aside; a pickle can name only a closed list of types, which are data; any
// other name is refused with its position. Every malformed input is an error.
package ckpt
