"""Target classes: the stained structures that the model segments.

Each class has its own labels, codebook and mask. Without `labels.classes` there is a single class
named `stain`, as in the paper (Deng et al. 2020).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cacl.errors import ConfigError

NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
SHAPES = ("line", "area")
KEYS = ("cell_type", "location", "shape")
LABELS = ("positive", "negative", "")
MAX_CLASSES = 8


@dataclass(frozen=True, kw_only=True)
class TargetClass:
    """One target class (an entry of the section `labels.classes` of the configuration).

    Parameters
    ----------
    name
        Lower-case word of at most 20 letters and digits.
    cell_type
        Cell type of the annotation that gives the label, case-insensitive.
    location
        Text that the annotated location must contain, such as `nuclear`; empty for any.
    shape
        Candidate pixels of the class: `line`, where DAB exceeds its surroundings, as on a thin
        border; `area`, all DAB-positive cell pixels, as in a stained cytoplasm.

    Raises
    ------
    ConfigError
        A value is invalid.
    """

    name: str
    cell_type: str = ""
    location: str = ""
    shape: str = "line"

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ConfigError(
                f"labels.classes: {self.name[:50]!r} is not a valid class name; expected a "
                "lower-case word of at most 20 letters and digits, such as nucleus"
            )
        if self.shape not in SHAPES:
            raise ConfigError(
                f"labels.classes.{self.name}.shape is {self.shape[:50]!r}; expected one of "
                f"{', '.join(SHAPES)}"
            )
        object.__setattr__(self, "cell_type", self.cell_type.strip().lower())
        object.__setattr__(self, "location", self.location.strip().lower())


SINGLE_CLASS = TargetClass(name="stain")


def label_name(class_index: int, target_class: TargetClass) -> str:
    """Return the name of a class's mask in the store: `stain` for the first class (index 0)."""
    return "stain" if class_index == 0 else f"stain-{target_class.name}"


def parse_classes(options: Iterable[str]) -> tuple[TargetClass, ...]:
    """Return the classes of the command-line options `--classes`, in order.

    Parameters
    ----------
    options
        Texts `<name>=<JSON object>` with the keys `cell_type`, `location` and `shape`, such as
        `nucleus={"cell_type": "enterocytes", "location": "nuclear", "shape": "area"}`.

    Raises
    ------
    ConfigError
        An option is not of this form, has no cell type or an unknown key, or two options have the
        same name.
    """
    classes: list[TargetClass] = []
    for option in options:
        name, _, text = option.partition("=")
        try:
            values: Any = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(
            key in KEYS and isinstance(value, str) for key, value in values.items()
        ):
            raise ConfigError(
                f"--classes {option[:100]!r} is invalid; expected NAME={{...}} with texts for "
                f"{', '.join(KEYS)}, such as "
                'nucleus={"cell_type": "enterocytes", "location": "nuclear", "shape": "area"}'
            )
        target_class = TargetClass(name=name, **values)
        if not target_class.cell_type:
            raise ConfigError(
                f"labels.classes.{name} lacks its cell_type, so no annotation can label it; write "
                f"`{name}: {{cell_type: enterocytes}}`"
            )
        classes.append(target_class)
    names = [target_class.name for target_class in classes]
    if len(set(names)) < len(names) or len(names) > MAX_CLASSES:
        raise ConfigError(
            f"labels.classes are {', '.join(names)}; expected at most {MAX_CLASSES} different names"
        )
    return tuple(classes)


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
