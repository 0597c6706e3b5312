"""Times features of images in PyTorch on the CPU: ViT-S/16 of bytedance/ibot at 224 pixels, and torchvision's loader.

    python3 embed.py IBOT_CHECKOUT [FOLDER] [IMAGES] [BATCH]

prints one JSON object: images a second of the network alone in float32, under bfloat16 autocast and in bfloat16
throughout, and with a folder of photographs from files to features in float32, for the number of threads and
of workers that was the fastest of some on a part of them.
"""
import glob
import json
import math
import os
import resource
import sys
import time
import types

import torch
import torch.nn as nn
import torchvision
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from reference import load, take

root, folder = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
wanted, batch = (int(sys.argv[i]) if len(sys.argv) > i else n for i, n in ((3, 640), (4, 32)))
torch.manual_seed(0)

sys.modules["utils"] = take(os.path.join(root, "utils.py"), ["trunc_normal_", "_no_grad_trunc_normal_"], torch=torch, math=math)
for name in ("timm", "timm.models", "timm.models.registry"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["timm.models.registry"].register_model = lambda f: f
vit = load("vision_transformer", os.path.join(root, "models", "vision_transformer.py"))
model = vit.vit_small(patch_size=16).eval()


class Photos(torch.utils.data.Dataset):
    """The files of a folder as evaluation sees them, again and again up to n."""

    transform = transforms.Compose([
        transforms.Resize(256, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])

    def __init__(self, folder, n):
        self.files = sorted(f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if os.path.isfile(f))
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.transform(default_loader(self.files[i % len(self.files)]))


@torch.inference_mode()
def from_files(n, workers, threads):
    """Images a second."""
    torch.set_num_threads(threads)
    loader = torch.utils.data.DataLoader(Photos(folder, n), batch_size=batch, num_workers=workers)
    began = time.perf_counter()
    features = torch.cat([model(x) for x in loader])
    assert features.shape == (n, 384)
    return n / (time.perf_counter() - began)


@torch.inference_mode()
def alone(net, x, autocast=False, rounds=5):
    """Images a second, the median of some rounds after one that does not count."""
    seconds = []
    for _ in range(1 + rounds):
        began = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            net(x)
        seconds.append(time.perf_counter() - began)
    return round(len(x) / sorted(seconds[1:])[rounds // 2], 2)


x = torch.randn(batch, 3, 224, 224)
threads = torch.get_num_threads()
result = {"torch": torch.__version__, "torchvision": torchvision.__version__, "batch": batch, "forward": {"fp32": alone(model, x), "autocast": alone(model, x, True)}}
if folder:
    settings = [(workers, n) for workers in (0, 1, threads) for n in sorted({1, threads})]
    best = max(settings, key=lambda s: from_files(min(wanted, 4 * batch), *s))
    result |= {"images": wanted, "workers": best[0], "threads": best[1], "embed": round(from_files(wanted, *best), 2)}
    torch.set_num_threads(threads)
result["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
result["forward"]["bf16"] = alone(model.bfloat16(), x.bfloat16())
print(json.dumps(result))
