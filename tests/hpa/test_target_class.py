"""Target classes in the configuration, in command options and in table columns."""

from __future__ import annotations

import re

import pytest

from cacl.config import TargetClass
from cacl.errors import ConfigError
from cacl.hpa.target_class import (
    SINGLE_CLASS,
    class_labels_of,
    join_labels,
    label_name,
    split_labels,
    with_first,
)

CLASSES = (
    TargetClass(name="microvilli", cell_type="enterocytes - microvilli"),
    TargetClass(name="nucleus", cell_type="enterocytes", location="nuclear", shape="area"),
)


def test_class_labels_round_trip_in_order() -> None:
    labels = {"nucleus": "positive", "cytoplasm": "", "border": "negative"}
    text = join_labels(labels)
    assert text == "nucleus=positive;cytoplasm=;border=negative"
    assert list(split_labels(text).items()) == list(labels.items())
    assert with_first(text, "") == "nucleus=;cytoplasm=;border=negative"
    assert with_first("", "positive") == ""


@pytest.mark.parametrize("text", ["nucleus", "a=positive;a=negative", "a=maybe", "A=positive", ";"])
def test_rejects_invalid_class_labels(text: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{text!r} is invalid")):
        split_labels(text)


def test_single_class_uses_label_and_several_use_class_labels() -> None:
    assert class_labels_of("positive", "", (SINGLE_CLASS,)) == ("positive",)
    text = "nucleus=negative;microvilli=positive"
    assert class_labels_of("negative", text, CLASSES) == ("positive", "negative")
    with pytest.raises(ConfigError, match="No label for the class 'microvilli'; the table has x"):
        class_labels_of("", "x=positive", CLASSES)


def test_first_class_keeps_the_mask_name_stain() -> None:
    names = [label_name(index, target_class) for index, target_class in enumerate(CLASSES)]
    assert names == ["stain", "stain-nucleus"]
