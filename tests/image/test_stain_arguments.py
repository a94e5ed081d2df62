"""Every place of the package that separates stains says with which vectors."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import cacl

PACKAGE = Path(cacl.__file__).parent
PARAMETER = "vectors"
LIBRARY = ("image", "model", "steps/image_measures.py")
"""Rooms and modules whose functions have the reference vectors as a default."""

NETWORK = "model(batch.rgb, batch.stain_vectors)"
"""The call of the network in the training, which no name of a function shows."""


def functions_of(tree: ast.Module) -> dict[str, list[str]]:
    """Return the parameters of the functions of a module, in order, the keyword-only ones last."""
    return {
        node.name: [each.arg for each in (*node.args.args, *node.args.kwonlyargs)]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def unnamed_calls(tree: ast.Module, positions: dict[str, int]) -> Iterator[tuple[int, str]]:
    """Yield line and name of the calls of functions, by name, without their stain vectors."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or PARAMETER in {each.arg for each in node.keywords}:
            continue
        # `functools.partial(function, ...)` and `da.map_overlap(function, ...)` call it later.
        for function, arguments in ((node.func, node.args), *((each, []) for each in node.args)):
            name = getattr(function, "attr", getattr(function, "id", ""))
            if function is not node.func and function is node.args[0]:
                arguments = node.args[1:]
            if name in positions and len(arguments) <= positions[name]:
                yield node.lineno, name


def test_every_call_in_the_package_names_the_stain_vectors() -> None:
    """A default is for notebooks and tests; a forgotten argument here would mix two sets."""
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    positions = {
        name: parameters.index(PARAMETER)
        for path, tree in trees.items()
        if path.startswith(LIBRARY)
        for name, parameters in functions_of(tree).items()
        if PARAMETER in parameters
    }
    assert {"dab_mask", "cell_mask", "local_dab_mask", "preprocess", "jitter_stain"} < set(
        positions
    )
    forgotten = []
    for path, tree in trees.items():
        own = functions_of(tree)
        of_other_module = {
            name: position
            for name, position in positions.items()
            if PARAMETER in own.get(name, [PARAMETER])
        }
        calls = unnamed_calls(tree, of_other_module)
        forgotten += [f"{path}:{line} {name}" for line, name in calls]
    assert not forgotten, "\n".join(forgotten)


def test_training_gives_the_network_the_vectors_of_its_batch() -> None:
    losses = PACKAGE / "model/training/losses.py"
    assert NETWORK in losses.read_text(encoding="utf-8")
