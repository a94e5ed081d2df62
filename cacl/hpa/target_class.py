"""The patterns that are told apart: one class of labels, one codebook and one mask each.

Without `labels.classes` there is one, named `stain`, and everything is as in the paper.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cacl.config import MAX_CLASSES as MAX_CLASSES
from cacl.config import TargetClass as TargetClass
from cacl.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
LABELS = ("positive", "negative", "")


SINGLE_CLASS = TargetClass(name="stain")


def label_name(number: int, target_class: TargetClass) -> str:
    """Return the name of a class's mask in the store: `stain` for the first, number 0."""
    return "stain" if number == 0 else f"stain-{target_class.name}"


def join_labels(labels: Mapping[str, str]) -> str:
    """Return labels as a column `class_labels` holds them: `microvilli=positive;nucleus=`."""
    return ";".join(f"{name}={label}" for name, label in labels.items())


def split_labels(text: str) -> dict[str, str]:
    """Return the labels of a column `class_labels` by class, in order; none for an empty text.

    Raises
    ------
    ConfigError
        The text has another form, or a label is unknown.
    """
    labels: dict[str, str] = {}
    for part in text.split(";") if text else []:
        name, sign, label = (piece.strip() for piece in part.partition("="))
        if not sign or not NAME.fullmatch(name) or label not in LABELS or name in labels:
            raise ConfigError(
                f"class_labels {text[:100]!r} cannot be read; expected each class once, with "
                "positive, negative or nothing, such as microvilli=positive;nucleus=negative"
            )
        labels[name] = label
    return labels


def with_first(class_labels: str, label: str) -> str:
    """Return a column `class_labels` whose first class has another label; nothing for nothing."""
    labels = split_labels(class_labels)
    return join_labels(labels | dict.fromkeys([*labels][:1], label))


def class_labels_of(
    label: str, class_labels: str, classes: Sequence[TargetClass]
) -> tuple[str, ...]:
    """Return an image's or a tile's label in each class.

    Parameters
    ----------
    label, class_labels
        Columns of those names.
    patterns
        The classes; a single one takes the column `label`, whatever its name.

    Raises
    ------
    ConfigError
        `class_labels` lacks one of several classes.
    """
    if len(classes) == 1:
        return (label,)
    found = split_labels(class_labels)
    unknown = [target_class.name for target_class in classes if target_class.name not in found]
    if unknown:
        raise ConfigError(
            f"No label for the class {unknown[0]!r}; the table has {', '.join(found) or 'none'}: "
            "correct labels.classes, or run the steps from `cacl catalog` again"
        )
    return tuple(found[target_class.name] for target_class in classes)
