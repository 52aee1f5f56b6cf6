"""The options of the group ``init``: each names a law and all of its parameters, the articles' names their laws."""

import pytest

from initbench.data_driven import INITIALIZERS
from initbench.initializers import LAWS
from initbench.settings.catalogue import Catalogue
from initbench.settings.options import option_files


@pytest.mark.parametrize("name", option_files("init"))
def test_every_option_names_a_law_and_parameters_that_it_has(name: str) -> None:
    node = Catalogue().options("init")[name]
    assert node["name"] == name
    assert set(node) - {"bias", "scheme"} == {"name", "law", *INITIALIZERS[node["law"]].defaults}


def test_the_list_has_more_than_35_initializers_that_differ() -> None:
    nodes = Catalogue().options("init").values()
    distinct = {str(sorted((key, value) for key, value in node.items() if key != "name")) for node in nodes}
    assert len(distinct) >= 35
    assert {law.tier for law in LAWS.values()} <= {1, 2, 3}
    assert all(law.formula and law.source for law in LAWS.values())


# The article, the name it uses, and the law it gives.
ARTICLES = {
    "xavier_d0": ("lecun_normal", {"gain": 1.0}),
    "normal_d1": ("normal", {"mean": 0.0, "std": 1.0}),
    "uniform_d1": ("uniform", {"low": 0.0, "high": 1.0}),
    "naive_d2": ("normal", {"mean": 0.0, "std": 0.01}),
    "uniform_d2": ("uniform_fan_in", {}),
    "xavier_d3_text": ("glorot_normal", {"gain": 1.0}),
    "xavier_d3_code": ("lecun_normal", {"gain": 1.0}),
}


@pytest.mark.parametrize("name", ARTICLES)
def test_the_articles_names_have_the_articles_laws(name: str) -> None:
    node = Catalogue().options("init")[name]
    params = {key: value for key, value in node.items() if key not in ("name", "law")}
    assert (node["law"], params) == ARTICLES[name]


def test_an_initializer_and_its_plain_name_are_one_law() -> None:
    nodes = Catalogue().options("init")
    for name in ("he", "xavier", "lecun"):
        assert nodes[name] | {"name": ""} == nodes[f"{name}_normal"] | {"name": ""}
