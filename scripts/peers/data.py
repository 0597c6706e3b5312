"""Times the input of bytedance/ibot on one core: decoding by Pillow, views by its DataAugmentationiBOT.

    python3 data.py IBOT_CHECKOUT FOLDER [LOCAL_CROPS] [IMAGES]

prints one JSON object with milliseconds an image.
"""
import glob
import json
import os
import random
import sys
import time

import torch
import torchvision
from PIL import Image, ImageFilter, ImageOps, __version__ as pillow
from torchvision import transforms

from reference import take

torch.set_num_threads(1)
random.seed(0)
torch.manual_seed(0)
root, folder = sys.argv[1], sys.argv[2]
local_crops = int(sys.argv[3]) if len(sys.argv) > 3 else 10
wanted = int(sys.argv[4]) if len(sys.argv) > 4 else 160

utils = take(os.path.join(root, "utils.py"), ["GaussianBlur", "Solarization"],
             random=random, Image=Image, ImageFilter=ImageFilter, ImageOps=ImageOps)
main = take(os.path.join(root, "main_ibot.py"), ["DataAugmentationiBOT"],
            transforms=transforms, Image=Image, utils=utils)
augment = main.DataAugmentationiBOT((0.25, 1), (0.05, 0.25), 2, local_crops)

files = sorted(f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if os.path.isfile(f))
images = (files * (wanted // len(files) + 1))[:wanted]


def decode(path):
    with open(path, "rb") as f:
        return Image.open(f).convert("RGB")


for path in images[:8]:
    augment(decode(path))  # warm up
decoding = views = 0.0
for path in images:
    began = time.perf_counter()
    image = decode(path)
    decoded = time.perf_counter()
    augment(image)
    decoding += decoded - began
    views += time.perf_counter() - decoded
n = len(images)
print(json.dumps({
    "pillow": pillow, "torchvision": torchvision.__version__, "images": n, "local_crops": local_crops,
    "decode_ms": round(1e3 * decoding / n, 3), "views_ms": round(1e3 * views / n, 3),
    "total_ms": round(1e3 * (decoding + views) / n, 3),
}))
