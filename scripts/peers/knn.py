"""Times the k-NN classifier of bytedance/ibot on the CPU, one k after the other as its evaluation does.

    python3 knn.py IBOT_CHECKOUT [QUERIES] [BANK] [DIM] [THREADS]

prints one JSON object: the seconds for k = 10, 20, 100 and 200 together, and the peak memory. Features are noise around
a centre for each of 1000 classes, l2-normalised.
"""
import json
import os
import resource
import sys
import time

import torch
import torch.nn as nn

from reference import take

root = sys.argv[1]
queries, bank, dim = (int(sys.argv[i]) if len(sys.argv) > i else n for i, n in ((2, 10000), (3, 50000), (4, 384)))
if len(sys.argv) > 5:
    torch.set_num_threads(int(sys.argv[5]))
torch.manual_seed(0)
classify = take(os.path.join(root, "evaluation", "eval_knn.py"), ["knn_classifier"], torch=torch, nn=nn).knn_classifier

centres = torch.randn(1000, dim)


def noise(n):
    labels = torch.arange(n) % 1000
    return nn.functional.normalize(centres[labels] + 4 * torch.randn(n, dim), dim=1), labels


train, test = noise(bank), noise(queries)
began = time.perf_counter()
top1 = [classify(*train, *test, k, 0.07, use_cuda=False)[0] for k in (10, 20, 100, 200)]
print(json.dumps({
    "torch": torch.__version__, "threads": torch.get_num_threads(), "seconds": round(time.perf_counter() - began, 3), "top1": top1,
    "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
}))
