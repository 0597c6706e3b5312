"""Times a training step of bytedance/ibot on the CPU: its own ViT-S/16, head, loss, clipping and loop.

    python3 step.py IBOT_CHECKOUT [BATCH] [STEPS] [fp32|bf16] [THREADS]

prints one JSON object: the median seconds of a step after the first two, and the peak memory. bf16 is PyTorch's
autocast. Views are noise, 2 of 224 pixels and 10 of 96, masked as the published recipe does.
"""
import json
import math
import os
import random
import resource
import sys
import time
import types

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

from reference import load, take

root = sys.argv[1]
batch, steps = int(sys.argv[2] if len(sys.argv) > 2 else 4), int(sys.argv[3] if len(sys.argv) > 3 else 4)
precision = sys.argv[4] if len(sys.argv) > 4 else "fp32"
if len(sys.argv) > 5:
    torch.set_num_threads(int(sys.argv[5]))
random.seed(0)
torch.manual_seed(0)

sys.modules["utils"] = utils = take(
    os.path.join(root, "utils.py"),
    ["trunc_normal_", "_no_grad_trunc_normal_", "MultiCropWrapper", "clip_gradients", "cancel_gradients_last_layer", "get_params_groups"],
    torch=torch, nn=nn, math=math, np=np)
# The file of the backbone registers its functions with timm, which a benchmark does without.
for name in ("timm", "timm.models", "timm.models.registry"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["timm.models.registry"].register_model = lambda f: f
vit = load("vision_transformer", os.path.join(root, "models", "vision_transformer.py"))
head = load("head", os.path.join(root, "models", "head.py"))
one_process = types.SimpleNamespace(all_reduce=lambda x: None, get_world_size=lambda: 1)
loss_class = take(os.path.join(root, "main_ibot.py"), ["iBOTLoss"], torch=torch, nn=nn, F=F, np=np, dist=one_process).iBOTLoss

OUT = 8192
student = utils.MultiCropWrapper(
    vit.vit_small(patch_size=16, drop_path_rate=0.1, return_all_tokens=True, masked_im_modeling=True),
    head.iBOTHead(384, OUT, patch_out_dim=OUT, norm_last_layer=False, shared_head=True))
teacher = utils.MultiCropWrapper(
    vit.vit_small(patch_size=16, return_all_tokens=True), head.iBOTHead(384, OUT, patch_out_dim=OUT, shared_head=True))
teacher.load_state_dict(student.state_dict(), strict=False)
for p in teacher.parameters():
    p.requires_grad = False
criterion = loss_class(OUT, OUT, 2, 10, 0.04, 0.07, 0.04, 0.07, 30, 800)
optimizer = torch.optim.AdamW(utils.get_params_groups(student), lr=1e-4)
of_student, of_teacher = dict(student.named_parameters()), dict(teacher.named_parameters())
common = [name for name in of_student if name in of_teacher]


def mask():
    """A block of cells, or with probability one half none: 15 % on the average, as published masks have."""
    m = torch.zeros(14, 14, dtype=torch.bool)
    if random.random() < 0.5:
        side = random.randint(5, 9)
        top, left = random.randint(0, 14 - side), random.randint(0, 14 - side)
        m[top:top + side, left:left + side] = True
    return m


def step():
    views = [torch.randn(batch, 3, 224, 224) for _ in range(2)] + [torch.randn(batch, 3, 96, 96) for _ in range(10)]
    masks = [torch.stack([mask() for _ in range(batch)]) for _ in range(2)]
    masks += [torch.zeros(batch, 6, 6, dtype=torch.bool) for _ in range(10)]
    began = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        of_teacher_views = teacher(views[:2])
        of_student_views = student(views[:2], mask=masks[:2])
        student.backbone.masked_im_modeling = False
        local = student(views[2:])[0]
        student.backbone.masked_im_modeling = True
        loss = criterion(of_student_views, of_teacher_views, local, masks, 1).pop("loss")
    loss.item()
    optimizer.zero_grad()
    loss.backward()
    utils.clip_gradients(student, 3.0)
    utils.cancel_gradients_last_layer(1, student, 1)
    optimizer.step()
    with torch.no_grad():
        for name in common:
            of_teacher[name].data.mul_(0.996).add_(0.004 * of_student[name].detach().data)
    return time.perf_counter() - began


times = sorted([step() for _ in range(steps + 2)][2:])  # kernels are made in the first two
print(json.dumps({
    "torch": torch.__version__, "threads": torch.get_num_threads(), "batch": batch, "precision": precision,
    "seconds": round(times[len(times) // 2], 3),
    "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
