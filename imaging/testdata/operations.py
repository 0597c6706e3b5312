"""Writes testdata/operations.npz: what Pillow 9.4.0 makes of two small images.

    python3 testdata/operations.py     (needs Pillow 9.4 and NumPy)

Keys are OPERATION or OPERATION_PARAMETER or OPERATION_FILTER_PARAMETER, "gray/" in front for the
image of one channel.
"""
import os

import numpy as np
import PIL
from PIL import Image, ImageEnhance, ImageOps

assert PIL.__version__ == "9.4.0", "the expectations are Pillow 9.4.0's"
HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(3)
H, W = 17, 24
y, x = np.mgrid[0:H, 0:W]
smooth = np.stack([40 + x * 7, 230 - y * 9, (x * 9 + y * 5) % 200 + 10], 2)
colour = np.clip(smooth + rng.integers(-25, 26, smooth.shape), 0, 255).astype(np.uint8)
out = {"image": colour, "gray/image": colour[:, :, 1].copy()}
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
F = (124, 116, 104)

for prefix, im, fill in (("", Image.fromarray(colour), F), ("gray/", Image.fromarray(colour[:, :, 1]), F[0])):
    def put(key, result):
        out[prefix + key] = np.asarray(result)

    put("invert", ImageOps.invert(im))
    put("autocontrast", ImageOps.autocontrast(im))
    put("equalize", ImageOps.equalize(im))
    for bits in (0, 1, 4, 7):
        put(f"posterize_{bits}", ImageOps.posterize(im, bits))
    table = [min(255, i + 99) if i < 128 else i for i in range(256)]
    put("solarizeadd_99", im.point(table * len(im.getbands())))
    for factor in (0.0, 0.1, 0.37, 1.0, 1.81, 1.9):
        put(f"sharpness_{factor}", ImageEnhance.Sharpness(im).enhance(factor))
    for name, f in FILTERS.items():
        if prefix and name == "nearest":
            continue
        for v in (0.27, -0.13):
            put(f"shearx_{name}_{v}", im.transform(im.size, Image.AFFINE, (1, v, 0, 0, 1, 0), resample=f, fillcolor=fill))
            put(f"sheary_{name}_{v}", im.transform(im.size, Image.AFFINE, (1, 0, 0, v, 1, 0), resample=f, fillcolor=fill))
        for v in (0.31, -0.405):
            put(f"translatex_{name}_{v}", im.transform(im.size, Image.AFFINE, (1, 0, v * W, 0, 1, 0), resample=f, fillcolor=fill))
            put(f"translatey_{name}_{v}", im.transform(im.size, Image.AFFINE, (1, 0, 0, 0, 1, v * H), resample=f, fillcolor=fill))
        for v in (27.0, -13.7, 90.0, 180.0):
            put(f"rotate_{name}_{v}", im.rotate(v, resample=f, fillcolor=fill))
square = colour[:, :H]
out["square"] = square
for v in (90.0, 270.0, -90.0, 359.0):
    out[f"square_rotate_bicubic_{v}"] = np.asarray(Image.fromarray(square).rotate(v, resample=Image.BICUBIC, fillcolor=F))
flat = np.full((5, 6, 3), 77, np.uint8)
flat[:, :, 2] = [10, 10, 10, 10, 10, 200]
out["flat"] = flat
out["flat_equalize"] = np.asarray(ImageOps.equalize(Image.fromarray(flat)))
out["flat_autocontrast"] = np.asarray(ImageOps.autocontrast(Image.fromarray(flat)))
np.savez_compressed(os.path.join(HERE, "operations.npz"), **{k: v if v.ndim == 3 else v[:, :, None] for k, v in out.items()})
