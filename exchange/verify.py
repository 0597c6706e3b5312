"""Runs a converted network by the library that it was written for.

Reads a JSON object from the standard input: format, path, config, shape, and the files of raw float32
"images", "cls" and "patches". Prints one with the greatest differences and the versions used. A
library that is not installed gives {"missing": its name}.
"""

import json
import sys

job = json.load(sys.stdin)
c = job["config"]


def done(**result):
    print(json.dumps(result))
    sys.exit(0)


try:
    import numpy as np
except ImportError:
    done(missing="numpy")


def raw(name, shape):
    return np.fromfile(job[name], dtype="<f4").reshape(shape)


images = raw("images", job["shape"])
versions = {"numpy": np.__version__}


def plain_vit(state, x):
    """The vision transformer of iBOT and DINO in plain PyTorch, from its state dict."""
    import torch
    import torch.nn.functional as F

    p = {k: v.float() for k, v in state.items()}
    D, heads, eps = c["embed_dim"], c["heads"], c["eps"]
    x = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=c["patch_size"])
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([p["cls_token"].expand(len(x), -1, -1), x], 1) + p["pos_embed"]
    if c["registers"]:
        x = torch.cat([x[:, :1], p["register_tokens"].expand(len(x), -1, -1), x[:, 1:]], 1)
    norm = lambda name, x: F.layer_norm(x, (D,), p[name + ".weight"], p[name + ".bias"], eps)
    linear = lambda name, x: F.linear(x, p[name + ".weight"], p[name + ".bias"])
    for i in range(c["depth"]):
        b = f"blocks.{i}."
        y = linear(b + "attn.qkv", norm(b + "norm1", x)).reshape(len(x), -1, 3, heads, D // heads)
        q, k, v = y.permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-2, -1)) / (D // heads) ** 0.5).softmax(-1) @ v
        y = linear(b + "attn.proj", y.transpose(1, 2).reshape(len(x), -1, D))
        x = x + y * p.get(b + "gamma_1", torch.ones(()))
        y = norm(b + "norm2", x)
        if b + "mlp.w12.weight" in p:
            gate, up = linear(b + "mlp.w12", y).chunk(2, -1)
            y = linear(b + "mlp.w3", F.silu(gate) * up)
        else:
            y = linear(b + "mlp.fc2", F.gelu(linear(b + "mlp.fc1", y)))
        x = x + y * p.get(b + "gamma_2", torch.ones(()))
    patches = x[:, 1 + c["registers"] :]
    if "fc_norm.weight" in p:
        return norm("fc_norm", patches.mean(1)), patches
    x = norm("norm", x)
    return x[:, 0], x[:, 1 + c["registers"] :]


def strip(state):
    """The backbone of a state dict or a full checkpoint, under its own names."""
    for key in (c["net"], "state_dict"):
        if key in state:
            state = state[key]
    if any("backbone." in k for k in state):
        state = {k: v for k, v in state.items() if "backbone." in k}
    return {k.replace("module.", "").replace("backbone.", ""): v for k, v in state.items()}


def run():
    if job["format"] == "onnx":
        import onnxruntime

        versions["onnxruntime"] = onnxruntime.__version__
        session = onnxruntime.InferenceSession(job["path"], providers=["CPUExecutionProvider"])
        return session.run(["cls", "patches"], {"images": images})

    import torch

    versions["torch"] = torch.__version__
    x = torch.from_numpy(images)
    with torch.no_grad():
        if job["format"] == "timm":
            import timm

            versions["timm"] = timm.__version__
            model = eval(f"timm.models.vision_transformer.VisionTransformer({c['timm']})", {"timm": timm, "torch": torch})
            timm.models.load_checkpoint(model, job["path"], strict=True)
            tokens = model.eval().forward_features(x)
            if c["mean_pooling"]:
                return model.forward_head(tokens), tokens[:, model.num_prefix_tokens :]
            return tokens[:, 0], tokens[:, model.num_prefix_tokens :]
        if job["format"] == "hf":
            import transformers

            versions["transformers"] = transformers.__version__
            transformers.utils.logging.set_verbosity_error()
            model, info = transformers.AutoModel.from_pretrained(job["path"], dtype=torch.float32, local_files_only=True, output_loading_info=True)
            lost = {k: list(v) for k, v in info.items() if v and k != "error_msgs"}
            lost["missing_keys"] = [k for k in lost.get("missing_keys", []) if not k.startswith("pooler.")]
            if any(lost.values()):
                sys.exit(f"transformers does not take all of it: {lost}")
            tokens = model.float().eval()(x).last_hidden_state
            return tokens[:, 0], tokens[:, 1 + c["registers"] :]
        if job["path"].endswith(".safetensors"):
            import safetensors.torch

            flat = safetensors.torch.load_file(job["path"])
            prefix = c["prefix"]
            return plain_vit({k[len(prefix) :]: v for k, v in flat.items() if k.startswith(prefix)}, x)
        # The settings in a full checkpoint of the reference are an argparse.Namespace.
        state = torch.load(job["path"], map_location="cpu", weights_only=job["format"] == "backbone")
        return plain_vit(strip(state), x)


try:
    cls, patches = run()
except ImportError as e:
    done(missing=e.name)
worst = lambda got, name: float(np.abs(np.asarray(got) - raw(name, got.shape)).max())
done(cls=worst(cls, "cls"), patches=worst(patches, "patches"), versions=versions)
