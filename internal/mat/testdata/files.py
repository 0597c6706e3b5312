"""Writes testdata/plain.mat and testdata/compressed.mat with SciPy's savemat (1.17)."""
import os

import numpy as np
from scipy.io import savemat

HERE = os.path.dirname(os.path.abspath(__file__))
items = np.zeros((1, 2), dtype=[("name", object), ("size", object)])
items[0, 0] = ("first", np.array([[1.0, 2.0]]))
items[0, 1] = ("second", np.array([[3.0]]))
cells = np.empty((1, 3), dtype=object)
inner = np.empty((1, 1), dtype=object)
inner[0, 0] = "inner"
cells[0, 0], cells[0, 1], cells[0, 2] = "a", np.array([[7.0]]), inner
values = {
    "matrix": np.array([[1, 2, 3], [4, 5, 6.5]]), "flags": np.array([[True, False]]), "text": "all souls é",
    "nothing": np.zeros((0, 0)), "cells": cells, "list": items,
}
for kind in ("int8", "int16", "int32", "int64", "float32"):
    values[kind] = np.array([[-3, 100]], dtype=kind)
    if kind != "float32":
        values["u" + kind] = np.array([[3, 100]], dtype="u" + kind)
savemat(os.path.join(HERE, "plain.mat"), values)
savemat(os.path.join(HERE, "compressed.mat"), values, do_compression=True)
