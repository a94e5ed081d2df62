"""Target classes in the configuration, in command options and in table columns."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest

from cacl import config
from cacl.errors import ConfigError
from cacl.hpa.target_class import (
    SINGLE_CLASS,
    TargetClass,
    class_labels_of,
    join_labels,
    label_name,
    parse_classes,
    split_labels,
    with_first,
)

CLASSES_SECTION = {
    "microvilli": {"cell_type": "Enterocytes - Microvilli"},
    "nucleus": {"cell_type": "enterocytes", "location": "Nuclear", "shape": "area"},
}
CLASSES = (
    TargetClass(name="microvilli", cell_type="enterocytes - microvilli"),
    TargetClass(name="nucleus", cell_type="enterocytes", location="nuclear", shape="area"),
)


def test_config_classes_round_trip_through_command_options() -> None:
    labels = config.resolve({"labels": {"classes": CLASSES_SECTION}})["labels"]
    assert labels["cell_type"] == "Enterocytes - Microvilli"
    assert labels["classes"]["microvilli"] == {
        "cell_type": "Enterocytes - Microvilli",
        "location": "",
        "shape": "line",
    }
    option, *values = shlex.split(config.flags({"classes": labels["classes"]}))
    assert (option, values[1]) == ("--classes", "--classes")
    assert parse_classes(values[::2]) == CLASSES


def test_no_option_without_classes() -> None:
    labels = config.resolve({})["labels"]
    assert labels["cell_type"] == "enterocytes - microvilli"
    assert config.flags({"classes": labels["classes"]}) == ""
    assert parse_classes([]) == ()


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"Brush Border": {"cell_type": "x"}}, "'Brush Border' does not match"),
        ({"a": {}}, "'cell_type' is a required property"),
        ({"a": {"cell_type": "x", "shpae": "area"}}, "unknown key 'shpae'; did you mean 'shape'?"),
        ({"a": {"cell_type": "x", "shape": "dot"}}, "'dot' is not one of"),
        ({chr(97 + n): {"cell_type": "x"} for n in range(9)}, "too many properties"),
    ],
)
def test_rejects_invalid_classes_section(classes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        config.resolve({"labels": {"classes": classes}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nucleus"], "expected NAME={...}"),
        (["nucleus=7"], "expected NAME={...}"),
        (['nucleus={"cell_type": 3}'], "expected NAME={...}"),
        (['nucleus={"stain": "x"}'], "expected NAME={...}"),
        (['Nucleus={"cell_type": "x"}'], "'Nucleus' is not a valid class name"),
        (['../x={"cell_type": "x"}'], "'../x' is not a valid class name"),
        (["nucleus={}"], "nucleus lacks its cell_type"),
        (['a={"cell_type": "x", "shape": "dot"}'], "shape is 'dot'; expected one of line, area"),
        (['a={"cell_type": "x"}'] * 2, "different names"),
    ],
)
def test_rejects_invalid_classes_option(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_classes(options)


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
