"""Writes testdata/masks.npz: what Pillow and OpenCV make of a small image and of masks.

    python3 testdata/masks.py     (made with Pillow 13.0, OpenCV 5.0 and NumPy 2.4)

thumbnail_SIDE and lanczos_WxH are Pillow's, opencv_WxH OpenCV's default resize, nearest_WxH Pillow's
NEAREST of mask. png_NAME are the bytes of PNG files and pixels_NAME what np.asarray(Image.open) says
of them; palette_NAME are the colours of their palettes.
"""
import io
import os

import cv2
import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(5)
H, W = 45, 61
y, x = np.mgrid[0:H, 0:W]
smooth = np.stack([40 + x * 3, 230 - y * 4, (x * 9 + y * 5) % 200 + 10], 2)
image = np.clip(smooth + rng.integers(-35, 36, smooth.shape), 0, 255).astype(np.uint8)
mask = ((x // 9 + y // 7 * 3) % 11).astype(np.uint8)
out = {"image": image, "mask": mask}
im = Image.fromarray(image)
for side in (16, 20, 33, 45, 60):
    small = im.copy()
    small.thumbnail((side, side), Image.LANCZOS)
    out[f"thumbnail_{side}"] = np.asarray(small)
tall = im.transpose(Image.TRANSPOSE)
out["tall"] = np.asarray(tall)
tall = tall.copy()
tall.thumbnail((29, 29), Image.LANCZOS)
out["tallthumbnail_29"] = np.asarray(tall)
for w, h in ((10, 9), (61, 20), (90, 45), (200, 111), (1, 1), (33, 44)):
    out[f"lanczos_{w}x{h}"] = np.asarray(im.resize((w, h), Image.LANCZOS))
    out[f"opencv_{w}x{h}"] = cv2.resize(image, (w, h))
    out[f"nearest_{w}x{h}"] = np.asarray(Image.fromarray(mask).resize((w, h), Image.NEAREST))
out["even"] = image[:44, :60].copy()
out["evenopencv_30x22"] = cv2.resize(out["even"], (30, 22))
colours = rng.integers(0, 256, (256, 3)).astype(np.uint8)
for name, count, bits in (("two", 2, 1), ("four", 4, 2), ("sixteen", 11, 4), ("all", 256, 8)):
    p = Image.fromarray((mask.astype(int) % count).astype(np.uint8))
    p.putpalette(colours[:count].ravel().tolist())
    b = io.BytesIO()
    p.save(b, "PNG", bits=bits)
    out["png_" + name] = np.frombuffer(b.getvalue(), np.uint8)
    out["pixels_" + name] = np.asarray(Image.open(b))
    out["palette_" + name] = np.array(Image.open(b).getpalette("RGB"), np.uint8).reshape(-1, 3)
b = io.BytesIO()
Image.fromarray(mask * 23).save(b, "PNG")
out["png_gray"] = np.frombuffer(b.getvalue(), np.uint8)
out["pixels_gray"] = mask * 23
np.savez_compressed(os.path.join(HERE, "masks.npz"), **out)
