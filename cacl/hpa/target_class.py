"""Target classes: the stained structures that the model segments.

Each class has its own labels, codebook and mask. Without `labels.classes` there is a single class
named `stain`, as in the paper (Deng et al. 2020).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from cacl.config import TargetClass
from cacl.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
LABELS = ("positive", "negative", "")
SINGLE_CLASS = TargetClass(name="stain")


def label_name(class_index: int, target_class: TargetClass) -> str:
    """Return the name of a class's mask in the store: `stain` for the first class (index 0)."""
    return "stain" if class_index == 0 else f"stain-{target_class.name}"


def join_labels(labels: Mapping[str, str]) -> str:
    """Return labels in the form of the column `class_labels`: `microvilli=positive;nucleus=`."""
    return ";".join(f"{name}={label}" for name, label in labels.items())


def split_labels(text: str) -> dict[str, str]:
    """Return the labels of a value of the column `class_labels`, by class name and in order.

    An empty text has no labels.

    Raises
    ------
    ConfigError
        The text has another form, or a label is unknown.
    """
    labels: dict[str, str] = {}
    for item in text.split(";") if text else []:
        name, equals, label = (word.strip() for word in item.partition("="))
        if not equals or not NAME.fullmatch(name) or label not in LABELS or name in labels:
            raise ConfigError(
                f"class_labels {text[:100]!r} is invalid; expected each class once, with "
                "positive, negative or nothing, such as microvilli=positive;nucleus=negative"
            )
        labels[name] = label
    return labels


def with_first(class_labels: str, label: str) -> str:
    """Return a value of the column `class_labels` with another label of its first class.

    An empty text stays empty.
    """
    labels = split_labels(class_labels)
    return join_labels(labels | dict.fromkeys([*labels][:1], label))


def class_labels_of(
    label: str, class_labels: str, classes: Sequence[TargetClass]
) -> tuple[str, ...]:
    """Return the label of an image or tile in each class.

    Parameters
    ----------
    label, class_labels
        Values of the columns of those names.
    classes
        The target classes. A single class has the column `label`, whatever its name.

    Raises
    ------
    ConfigError
        `class_labels` lacks one of several classes.
    """
    if len(classes) == 1:
        return (label,)
    labels = split_labels(class_labels)
    missing = [target_class.name for target_class in classes if target_class.name not in labels]
    if missing:
        raise ConfigError(
            f"No label for the class {missing[0]!r}; the table has {', '.join(labels) or 'none'}: "
            "correct labels.classes, or run the steps from `cacl catalog` again"
        )
    return tuple(labels[target_class.name] for target_class in classes)
