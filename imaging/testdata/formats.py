"""Writes testdata/formats: small files of every kind, and what Pillow 9.4.0 makes of each.

    python3 testdata/formats.py        (needs Pillow 9.4 with libtiff and libwebp, and NumPy)

NAME.EXT is the file, NAME.EXT.png the expected RGB pixels, with the EXIF orientation applied. With
NAME.EXT.part.png the file is truncated, and the pixels are those under LOAD_TRUNCATED_IMAGES. Where
the expectation is not Pillow's own, the call says expect=.
"""
import io
import os
import struct
import zlib

import numpy as np
import PIL
from PIL import Image, ImageFile, ImageOps

assert PIL.__version__ == "9.4.0", "the expectations are Pillow 9.4.0's"
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "formats")
os.makedirs(OUT, exist_ok=True)
W, H = 21, 13
y, x = np.mgrid[0:H, 0:W]
rgb = np.stack([x * 12, y * 19, (x * 5 + y * 11) % 256], 2).astype(np.uint8)
gray = rgb[:, :, 2]
alpha = (255 - x * 12).astype(np.uint8)
rgba = np.dstack([rgb, alpha])
inks = np.dstack([rgb, gray // 3])
wide = (rgb.astype(np.uint16) << 8) | 0x5a
PAL = np.array([[(i * 37) % 256, (i * 91) % 256, 255 - i] for i in range(256)], np.uint8)


def put(name, data, expect=None, part=False):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)
    if expect is None:
        ImageFile.LOAD_TRUNCATED_IMAGES = part
        im = Image.open(io.BytesIO(data))
        im.load()
        expect = ImageOps.exif_transpose(im).convert("RGB")
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    elif not isinstance(expect, Image.Image):
        expect = Image.fromarray(np.ascontiguousarray(expect))
    expect.save(os.path.join(OUT, name + (".part.png" if part else ".png")), optimize=True)


def saved(a, fmt, **kw):
    im = a if isinstance(a, Image.Image) else Image.fromarray(a)
    b = io.BytesIO()
    im.save(b, fmt, **kw)
    return b.getvalue()


def exif(orientation):
    e = Image.Exif()
    e[0x112] = orientation
    return e.tobytes()


def pack(a, bits):
    """Rows of samples below 8 bits, the first in the highest bits."""
    rows = []
    for r in a.reshape(a.shape[0], -1):
        b = np.unpackbits(r.astype(np.uint8)[:, None], axis=1)[:, 8 - bits:].reshape(-1)
        rows.append(np.packbits(b).tobytes())
    return rows


# PNG ----------------------------------------------------------------------------------------------
def chunk(name, body, crc=None):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) if crc is None else crc)


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png_rows(a, bits):
    if bits == 16:
        return [r.astype(">u2").tobytes() for r in a]
    return pack(a, bits) if bits < 8 else [r.tobytes() for r in a]


def filtered(rows, gap):
    out, above = b"", bytes(len(rows[0]) if rows else 0)
    for i, r in enumerate(rows):
        kind = i % 5
        line = bytearray()
        for j, v in enumerate(r):
            a = r[j - gap] if j >= gap else 0
            b = above[j]
            c = above[j - gap] if j >= gap else 0
            p = a + b - c
            near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append((v - [0, a, b, (a + b) // 2, near][kind]) % 256)
        out, above = out + bytes([kind]) + bytes(line), r
    return out


def png(a, bits, kind, interlaced=False, before=b"", after=b"", cut=None, crc=None, end=True, split=200):
    spp = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    gap = max(1, spp * bits // 8)
    raw = b""
    if interlaced:
        for x0, y0, dx, dy in ADAM7:
            sub = a[y0::dy, x0::dx]
            if sub.size:
                raw += filtered(png_rows(sub, bits), gap)
    else:
        raw = filtered(png_rows(a, bits), gap)
    z = zlib.compress(raw, 9)
    if cut:
        z = z[: int(len(z) * cut)]
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", a.shape[1], a.shape[0], bits, kind, 0, 0, interlaced)) + before
    for i in range(0, len(z), split):
        out += chunk(b"IDAT", z[i : i + split], crc)
    return out + after + (chunk(b"IEND", b"") if end else b"")


for bits in (1, 2, 4, 8):
    small = gray >> (8 - bits)
    put(f"gray{bits}.png", png(small, bits, 0))
    put(f"gray{bits}_adam7.png", png(small, bits, 0, True))
    plte = chunk(b"PLTE", PAL[: 1 << bits].tobytes())
    put(f"indexed{bits}.png", png(small, bits, 3, before=plte + chunk(b"tRNS", bytes(range(min(1 << bits, 9))))))
    put(f"indexed{bits}_adam7.png", png(small, bits, 3, True, before=plte))
put("rgb8_adam7.png", png(rgb, 8, 2, True))
put("rgb8_trns.png", png(rgb, 8, 2, before=chunk(b"tRNS", struct.pack(">3H", 0, 0, 0))))
put("rgba8.png", png(rgba, 8, 6))
put("rgb16.png", png(wide, 16, 2))
put("rgba16_adam7.png", png(np.dstack([wide, wide[:, :, 0]]), 16, 6, True))
put("grayalpha8.png", png(np.dstack([gray, alpha]), 8, 4))
put("grayalpha16.png", png(np.dstack([wide[:, :, 2], wide[:, :, 0]]), 16, 4))
# Pillow clips 16-bit gray at 255; here the high byte counts.
put("gray16.png", png(wide[:, :, 2], 16, 0), expect=np.dstack([gray] * 3))
put("thin_adam7.png", png(rgb[:, :1], 8, 2, True))
put("flat_adam7.png", png(rgb[:1], 8, 2, True))
put("wrong_data_checksum.png", png(rgb, 8, 2, crc=1))
put("no_end.png", png(rgb, 8, 2, end=False))
put("text_after.png", png(rgb, 8, 2, after=chunk(b"tEXt", b"a\0b")) + b"more")
put("orientation6.png", png(rgb, 8, 2, before=chunk(b"eXIf", exif(6)[6:])))
put("cut.png", png(rgb, 8, 2, cut=0.6), part=True)
put("cut_adam7.png", png(rgb, 8, 2, True, cut=0.6), part=True)

# GIF ----------------------------------------------------------------------------------------------
indexed = Image.fromarray(gray >> 4, "P")
indexed.putpalette(PAL[:16].tobytes())
put("plain.gif", saved(indexed, "GIF", interlace=0))
put("interlaced.gif", saved(indexed, "GIF", interlace=1))
frames = [indexed, indexed.transpose(Image.Transpose.ROTATE_180)]
put("animated.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
g = saved(indexed, "GIF", interlace=0)
put("cut.gif", g[: int(len(g) * 0.75)], part=True)
bare = bytearray(saved(Image.fromarray(gray), "GIF", interlace=0))
n = 3 << ((bare[10] & 7) + 1)
bare[10] &= 0x7F
put("no_palette.gif", bytes(bare[:13] + bare[13 + n :]))
tight = bytearray(g)
tight[6:10] = struct.pack("<HH", 5, 4)  # the screen is smaller than the frame
put("small_screen.gif", bytes(tight))
at = g.index(b",", 13 + (3 << ((g[10] & 7) + 1)))
put("stray_bytes.gif", g[:at] + b"\0\0\xff" + g[at:])
moved = bytearray(g)
moved[6:10] = struct.pack("<HH", W + 6, H + 5)
moved[at + 1 : at + 5] = struct.pack("<HH", 4, 3)
put("offset_frame.gif", bytes(moved[:at]) + b"!\xf9\x04\x01\0\0\x07\0" + bytes(moved[at:]))


# BMP ----------------------------------------------------------------------------------------------
def bmp(rows, w, h, bits, header=40, compression=0, palette=b"", masks=b"", colours=0, data=None, gap=0):
    if data is None:
        data = b"".join(r + bytes(-len(r) % 4) for r in rows)
    if header == 12:
        hd = struct.pack("<IHHHH", 12, w, h, 1, bits)
    else:
        hd = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, compression, len(data), 0, 0, colours, 0)
        hd += (masks if header > 40 else b"").ljust(header - 40, b"\0") + (masks if header == 40 else b"")
    start = 14 + len(hd) + len(palette) + gap
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + hd + palette + bytes(gap) + data


up = rgb[::-1, :, ::-1]
bgrx = np.dstack([up, alpha[::-1]])
quads = np.hstack([PAL[:, ::-1], np.zeros((256, 1), np.uint8)])
put("rgb24.bmp", bmp([r.tobytes() for r in up], W, H, 24))
put("rgb24_topdown.bmp", bmp([r.tobytes() for r in up[::-1]], W, -H, 24))
put("rgb24_os2.bmp", bmp([r.tobytes() for r in up], W, H, 24, header=12))
put("rgb24_palette.bmp", bmp([r.tobytes() for r in up], W, H, 24, palette=quads[:8].tobytes(), colours=8))
put("rgb32.bmp", bmp([r.tobytes() for r in bgrx], W, H, 32))
put("rgba32_v5.bmp", bmp([r.tobytes() for r in bgrx], W, H, 32, header=124, compression=3, masks=struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)))
put("xbgr32.bmp", bmp([r.tobytes() for r in bgrx], W, H, 32, header=108, compression=3, masks=struct.pack("<4I", 0xFF000000, 0xFF0000, 0xFF00, 0)))
r5, g6, b5 = [c.astype(np.uint16) for c in np.moveaxis(rgb[::-1], 2, 0)]
put("rgb555.bmp", bmp([r.tobytes() for r in (r5 >> 3) << 10 | (g6 >> 3) << 5 | b5 >> 3], W, H, 16))
put("rgb565.bmp", bmp([r.tobytes() for r in (r5 >> 3) << 11 | (g6 >> 2) << 5 | b5 >> 3], W, H, 16, compression=3, masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F)))
put("rgb444.bmp", bmp([r.tobytes() for r in (r5 >> 4) << 8 | (g6 >> 4) << 4 | b5 >> 4], W, H, 16, compression=3, masks=struct.pack("<3I", 0xF00, 0xF0, 0xF)), expect=rgb // 16 * 17)
for bits in (1, 4, 8):
    put(f"indexed{bits}.bmp", bmp(pack(gray[::-1] >> (8 - bits), bits), W, H, bits, palette=quads[: 1 << bits].tobytes()))
put("indexed4_os2.bmp", bmp(pack(gray[::-1] >> 4, 4), W, H, 4, header=12, palette=PAL[:16, ::-1].tobytes()))
put("indexed8_few.bmp", bmp(pack(gray[::-1] >> 5, 8), W, H, 8, palette=quads[:8].tobytes(), colours=8))
put("indexed8_gap.bmp", bmp(pack(gray[::-1] >> 5, 8), W, H, 8, palette=quads[:8].tobytes(), colours=8, gap=100))
small = gray >> 4
rle8 = b""
for i, row in enumerate(small[::-1]):
    if i % 2:
        rle8 += bytes([0, W]) + row.tobytes() + bytes(W % 2)
    else:
        for v in row:
            rle8 += bytes([1, v])
    rle8 += b"\0\0"
put("rle8.bmp", bmp(None, W, H, 8, compression=1, palette=quads[:16].tobytes(), colours=16, data=rle8 + b"\0\1"))
# Runs of nibbles, jumps and empty rows, which Pillow 9.4 misplaces.
want = np.zeros((H, W), int)
want[H - 1, :5] = [3, 9, 3, 9, 3]
want[H - 3, 2:7] = [1, 2, 3, 4, 5]
want[H - 6, 4:7] = [12, 12, 12]
rle4 = b"\x05\x39" + b"\0\0" + b"\0\0" + b"\0\2\2\0" + b"\0\5\x12\x34\x50\0" + b"\0\0" + b"\0\2\4\2" + b"\x03\xcc" + b"\0\1"
put("rle4_jumps.bmp", bmp(None, W, H, 4, compression=2, palette=quads[:16].tobytes(), data=rle4), expect=PAL[want])
whole = bmp([r.tobytes() for r in up], W, H, 24)
put("cut.bmp", whole[: int(len(whole) * 0.6)], part=True)

# PNM ----------------------------------------------------------------------------------------------
bitmap = gray > 128
put("p1.pbm", b"P1\n# made\n%d %d\n" % (W, H) + b"\n".join(b"".join(b"01"[v : v + 1] for v in row) for row in bitmap.astype(int)))
put("p2.pgm", b"P2 %d %d # max\n200\n" % (W, H) + b" ".join(b"%d" % v for v in np.minimum(gray, 200).reshape(-1)) + b"\n")
put("p3.ppm", b"P3\n%d %d\n255\n" % (W, H) + b"\n".join(b"%d" % v for v in rgb.reshape(-1)) + b"\n")
put("p4.pbm", b"P4\n%d %d\n" % (W, H) + b"".join(pack(bitmap, 1)))
put("p5.pgm", b"P5\n%d %d\n255\n" % (W, H) + gray.tobytes())
put("p5_max100.pgm", b"P5\n%d %d\n100\n" % (W, H) + np.minimum(gray, 100).tobytes())
put("p6.ppm", b"P6\n# c\n%d %d\n255\n" % (W, H) + rgb.tobytes())
put("p6_wide.ppm", b"P6\n%d %d\n1000\n" % (W, H) + (rgb.astype(">u2") * 3).tobytes())
put("p5_wide.pgm", b"P5\n%d %d\n65535\n" % (W, H) + wide[:, :, 2].astype(">u2").tobytes(), expect=np.dstack([gray] * 3))
put("cut.ppm", b"P6\n%d %d\n255\n" % (W, H) + rgb.tobytes()[:400], expect=np.concatenate([rgb[:6], 0 * rgb[6:]]), part=True)

# WebP ---------------------------------------------------------------------------------------------
put("animated.webp", saved(Image.fromarray(rgba), "WEBP", save_all=True, lossless=True, append_images=[Image.fromarray(rgba[::-1])]))
put("animated_lossy.webp", saved(Image.fromarray(rgb), "WEBP", save_all=True, quality=80, append_images=[Image.fromarray(rgb[::-1])]))
put("lossy_alpha.webp", saved(Image.fromarray(rgba), "WEBP", quality=70))
put("orientation8.webp", saved(Image.fromarray(rgb), "WEBP", quality=90, exif=exif(8)))

frame = saved(Image.fromarray(rgb), "WEBP", lossless=True)[12:]  # one chunk
u24 = lambda v: struct.pack("<I", v)[:3]
body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\2\0\0\0" + u24(W + 8) + u24(H + 6)
body += b"ANIM" + struct.pack("<IIH", 6, 0xFF00FF00, 0)
body += b"ANMF" + struct.pack("<I", 16 + len(frame)) + u24(2) + u24(1) + u24(W - 1) + u24(H - 1) + u24(100) + b"\0" + frame
put("offset_frame.webp", b"RIFF" + struct.pack("<I", len(body)) + body)

# JPEG ---------------------------------------------------------------------------------------------
big = np.dstack([np.tile(c, (4, 3)) for c in np.moveaxis(rgb, 2, 0)])
put("cmyk.jpg", saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=90))
ycck = bytearray(saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=90))
ycck[ycck.index(b"Adobe") + 11] = 2  # the same numbers, now YCCK
put("ycck.jpg", bytes(ycck))
put("gray.jpg", saved(gray, "JPEG", quality=90))
put("orientation5.jpg", saved(rgb, "JPEG", quality=90, exif=exif(5)))
j = saved(big, "JPEG", quality=80)
put("cut.jpg", j[: int(len(j) * 0.7)], part=True)
j = saved(big, "JPEG", quality=80, progressive=True)
put("cut_progressive.jpg", j[: int(len(j) * 0.6)], part=True)


# TIFF ---------------------------------------------------------------------------------------------
def tiff(chunks, spp, bits, photometric, order="<", big=False, tags=(), tile=None, rows=H, w=W, h=H):
    """A file of the given chunks, none of them compressed here."""
    sizes = {1: "B", 3: "H", 4: "I", 5: "II", 16: "Q", 7: "B"}
    entries = {256: (4, [w]), 257: (4, [h]), 258: (3, [bits] * spp), 259: (3, [1]), 262: (3, [photometric]), 277: (3, [spp])}
    out = bytearray(struct.pack(order + ("2sHHHQ" if big else "2sHI"), *((b"II" if order == "<" else b"MM", 43, 8, 0, 0) if big else (b"II" if order == "<" else b"MM", 42, 0))))
    offsets = []
    for c in chunks:
        offsets.append(len(out))
        out += c + bytes(len(c) % 2)
    counts = [len(c) for c in chunks]
    if tile:
        entries.update({322: (4, [tile[0]]), 323: (4, [tile[1]]), 324: (4, offsets), 325: (4, counts)})
    else:
        entries.update({273: (4, offsets), 278: (4, [rows]), 279: (4, counts)})
    entries.update(dict(tags))
    head, inline = (8, 8) if big else (2, 4)
    body = b""
    values = bytearray()
    at = len(out)
    end = at + head + len(entries) * (20 if big else 12) + inline
    for tag, (kind, v) in sorted(entries.items()):
        data = b"".join(struct.pack(order + sizes[kind], *(e if isinstance(e, tuple) else (e,))) for e in v)
        if len(data) > inline:
            field = struct.pack(order + ("Q" if big else "I"), end + len(values))
            values += data + bytes(len(data) % 2)
        else:
            field = data.ljust(inline, b"\0")
        body += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(v)) + field
    out += struct.pack(order + ("Q" if big else "H"), len(entries)) + body + bytes(inline) + values
    out[8 if big else 4 : 16 if big else 8] = struct.pack(order + ("Q" if big else "I"), at)
    return bytes(out)


strips = [rgb[i : i + 4].tobytes() for i in range(0, H, 4)]
put("rgb_strips.tif", tiff(strips, 3, 8, 2, rows=4))
put("rgb_bigtiff.tif", tiff(strips, 3, 8, 2, rows=4, big=True))
put("rgb_bigtiff_mm.tif", tiff(strips, 3, 8, 2, rows=4, big=True, order=">"), expect=rgb)
padded = np.pad(rgb, ((0, 16 - H), (0, 32 - W), (0, 0)))
put("rgb_tiles.tif", tiff([zlib.compress(padded[:, i : i + 16].tobytes()) for i in (0, 16)], 3, 8, 2, tile=(16, 16), tags={259: (3, [8])}.items()))
put("rgb_planes.tif", tiff([zlib.compress(rgb[:, :, c].tobytes()) for c in range(3)], 3, 8, 2, tags={259: (3, [8]), 284: (3, [2])}.items()))
for order, mark in (("<", "ii"), (">", "mm")):
    w16 = wide.astype(order + "u2")
    put(f"rgb16_{mark}.tif", tiff([w16.tobytes()], 3, 16, 2, order=order))
    put(f"gray16_{mark}.tif", tiff([w16[:, :, 2].tobytes()], 1, 16, 1, order=order), expect=np.dstack([gray] * 3))
    delta = np.diff(wide.astype(int), axis=1, prepend=0).astype(order + "u2")
    put(f"rgb16_predictor_{mark}.tif", tiff([zlib.compress(delta.tobytes())], 3, 16, 2, order=order, tags={259: (3, [8]), 317: (3, [2])}.items()))
for bits in (1, 2, 4, 8):
    data = [b"".join(pack(gray >> (8 - bits), bits))]
    put(f"gray{bits}.tif", tiff(data, 1, bits, 1))
    put(f"white_is_zero{bits}.tif", tiff(data, 1, bits, 0))
    ramp = PAL[: 1 << bits].astype(int).T.reshape(-1) * 257
    put(f"indexed{bits}.tif", tiff(data, 1, bits, 3, tags={320: (3, list(map(int, ramp)))}.items()))
put("gray1_reversed.tif", tiff([bytes(int(f"{v:08b}"[::-1], 2) for v in b"".join(pack(bitmap, 1)))], 1, 1, 1, tags={266: (3, [2])}.items()))
twelve = b""
for row in (gray.astype(int) << 4 | 7):
    bitstring = "".join(f"{v:012b}" for v in row)
    bitstring += "0" * (-len(bitstring) % 8)
    twelve += bytes(int(bitstring[i : i + 8], 2) for i in range(0, len(bitstring), 8))
put("gray12.tif", tiff([twelve], 1, 12, 1), expect=np.dstack([gray] * 3))
floats = gray.astype(np.float32) * 1.3 - 20
put("float.tif", tiff([floats.astype("<f4").tobytes()], 1, 32, 1, tags={339: (3, [3])}.items()))
put("float_mm.tif", tiff([floats.astype(">f4").tobytes()], 1, 32, 1, order=">", tags={339: (3, [3])}.items()))
planes = np.ascontiguousarray(floats.astype(">f4")).view(np.uint8).reshape(H, W, 4).transpose(0, 2, 1).reshape(H, 4 * W)
planes = np.diff(planes.astype(int), axis=1, prepend=0).astype(np.uint8)
put("float_predictor.tif", tiff([zlib.compress(planes.tobytes())], 1, 32, 1, tags={339: (3, [3]), 259: (3, [8]), 317: (3, [3])}.items()))
put("int32.tif", tiff([(gray.astype("<i4") * 2 - 100).tobytes()], 1, 32, 1, tags={339: (3, [2])}.items()))
put("int16.tif", tiff([(gray.astype("<i2") * 2 - 100).tobytes()], 1, 16, 1, tags={339: (3, [2])}.items()))
put("premultiplied.tif", tiff([rgba.tobytes()], 4, 8, 2, tags={338: (3, [1])}.items()))
put("rgba.tif", tiff([rgba.tobytes()], 4, 8, 2, tags={338: (3, [2])}.items()))
put("grayalpha.tif", tiff([np.dstack([gray, alpha]).tobytes()], 2, 8, 1, tags={338: (3, [2])}.items()))
put("cmyk.tif", tiff([inks.tobytes()], 4, 8, 5))
put("orientation7.tif", tiff([rgb.tobytes()], 3, 8, 2, tags={274: (3, [7])}.items()), expect=Image.fromarray(rgb).transpose(Image.Transpose.TRANSVERSE))
put("cut.tif", tiff([rgb.tobytes()], 3, 8, 2, tags={279: (4, [400])}.items()), expect=np.concatenate([rgb[:6], 0 * rgb[6:]]), part=True)
for name, compression in (("lzw", "tiff_lzw"), ("packbits", "packbits"), ("deflate", "tiff_adobe_deflate")):
    put(f"rgb_{name}.tif", saved(rgb, "TIFF", compression=compression))
put("lzw_predictor.tif", saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
put("group3.tif", saved(Image.fromarray(bitmap), "TIFF", compression="group3"))
put("group4.tif", saved(Image.fromarray(bitmap), "TIFF", compression="group4"))
put("group4_white_is_zero.tif", saved(Image.fromarray(bitmap), "TIFF", compression="group4", tiffinfo={262: 0}))
soft = np.dstack([np.tile(c, (2, 2)) for c in np.moveaxis(rgb // 4 + 90, 2, 0)])
put("jpeg_rgb.tif", saved(soft, "TIFF", compression="jpeg", quality=90))
put("jpeg_ycbcr.tif", saved(Image.fromarray(soft).convert("YCbCr"), "TIFF", compression="jpeg", quality=90))
put("jpeg_gray.tif", saved(gray, "TIFF", compression="jpeg", quality=90))
put("jpeg_cmyk.tif", saved(Image.fromarray(inks, "CMYK"), "TIFF", compression="jpeg", quality=90))
# Blocks of 2x2 luma values with one of each chroma, through libtiff's own conversion.
ycc = np.pad(np.asarray(Image.fromarray(rgb).convert("YCbCr")), ((0, H % 2), (0, W % 2), (0, 0)), "edge")
blocks = b"".join(bytes([ycc[i, j, 0], ycc[i, j + 1, 0], ycc[i + 1, j, 0], ycc[i + 1, j + 1, 0], ycc[i, j, 1], ycc[i, j, 2]]) for i in range(0, H, 2) for j in range(0, W, 2))
put("ycbcr22.tif", tiff([zlib.compress(blocks)], 3, 8, 6, tags={259: (3, [8]), 530: (3, [2, 2]), 532: (5, [(v, 1) for v in (16, 235, 128, 240, 128, 240)])}.items()))
