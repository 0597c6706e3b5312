"""Takes single functions and classes out of a checkout of bytedance/ibot, without what they need not.

The release imports dozens of packages (apex, scikit-learn, tensorboardX ...) at the head of its files. A
benchmark wants its model, head, loss, augmentation and loop as they are, and none of those.
"""
import ast
import importlib.util
import os
import sys
import types


def take(path, names, **scope):
    """Runs the definitions called names of the file at path, with scope as their globals."""
    tree = ast.parse(open(path).read())
    body = [node for node in tree.body if getattr(node, "name", None) in names]
    missing = set(names) - {node.name for node in body}
    if missing:
        sys.exit(f"{path} has no {sorted(missing)}: is it a checkout of bytedance/ibot?")
    module = types.ModuleType(os.path.basename(path))
    module.__dict__.update(scope)
    exec(compile(ast.Module(body, []), path, "exec"), module.__dict__)
    return module


def load(name, path):
    """Imports the file at path as module name."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
