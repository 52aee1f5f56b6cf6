"""A user's own folder of options and presets: what its files may hold, and what is said of those that may not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

from initbench.errors import InputError
from initbench.settings.catalogue import Catalogue
from initbench.settings.compose import compose
from initbench.settings.overrides import quoted
from initbench.settings.request import Request, request

Initbench = Callable[..., Answer]


def ask(*overrides: str, config_dir: Path | None = None) -> Request:
    catalogue = Catalogue.of(config_dir=config_dir)
    return request(compose(overrides, catalogue), catalogue)


def test_a_users_folder_adds_options_and_experiments(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "init" / "mine.yaml").write_text("name: mine\nlaw: normal\nstd: 0.3\n")
    (tmp_path / "experiment" / "my.yaml").write_text("# @package _global_\nsweep: {init: 'mine,he'}\nseeds: 1\n")
    cells = ask("experiment=my", config_dir=tmp_path).cells
    assert [(c.init.name, c.init.law) for c in cells] == [("mine", "normal"), ("he", "he_normal")]
    assert dict(cells[0].init.params) == {"std": 0.3, "mean": 0.0}


def test_a_plugin_of_an_earlier_call_leaves_its_name_free(tmp_path: Path) -> None:
    (tmp_path / "plugin.py").write_text("def mine(shape, rng):\n    return rng.random(shape)\n")
    assert compose(["init=mine"], Catalogue.of([tmp_path / "plugin.py"]))[0]["init"]["law"] == "mine"
    with pytest.raises(InputError, match="unknown init 'mine'"):
        compose(["init=mine"])
    test_a_users_folder_adds_options_and_experiments(tmp_path)


def test_a_users_file_may_refer_to_settings_but_to_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "deep.yaml").write_text("name: deep\nlaw: sparse\nk: ${depth}\nstd: 1.0\n")
    (tmp_path / "init" / "spy.yaml").write_text("name: ${oc.env:HOME}\nlaw: normal\n")
    ks = [dict(c.init.params)["k"] for c in ask("init=deep", "depth=3,5", config_dir=tmp_path).cells]
    assert ks == [3, 5]
    with pytest.raises(InputError, match="may only refer to its own keys"):
        ask("init=spy", config_dir=tmp_path)


# A user's file, the override that uses it, and what the one line must say.
BAD_FILES = {
    "init/a.yaml": ("name: [", "init=a", "init/a.yaml"),
    "init/b.yaml": ("law: normal", "init=b", "init null lacks 'name'"),
    "init/c.yaml": ("name: c", "init=c", "init 'c' lacks 'law'"),
    "init/d.yaml": ("- a", "init=d", "init must hold settings"),
    "init/e.yaml": ("name: e\nlaw: normal\nfoo: 1", "init=e", "unknown setting 'init.foo'"),
    "init/f.yaml": ("name: f\nlaw: normal\n_target_: os.system", "init=f", "unknown setting 'init._target_'"),
    "init/g.yaml": ("name: g\nlaw: normal\nstd: ${nope}", "init=g", "there is no setting 'nope' for ${nope}"),
    "dataset/a.yaml": ("name: a\nsource: digits", "dataset=a", "dataset 'a' lacks 'val'"),
    "experiment/z.yaml": ("# @package _global_\nsweep: [{init: he}, 3]", "experiment=z", "or a list of such"),
    "experiment/a.yaml": ("# @package _global_\nsweep: 3", "experiment=a", "the sweep of experiment 'a' must be KEY"),
    "experiment/b.yaml": ("# @package _global_\nbogus: 3", "experiment=b", "unknown setting 'bogus'"),
    "experiment/c.yaml": ("# @package _global_\nsweep: {init: nope}", "experiment=c", "unknown init 'nope'"),
    "experiment/d.yaml": (
        "# @package _global_\ndefaults: [override /init: x]",
        "experiment=d",
        "unknown init 'x'",
    ),
    "init/h.yaml": ("", "init=h", "init null lacks 'name'"),
    "init/i.yaml": ("name: \xff", "init=i", "init/i.yaml: 'utf-8' codec can't decode"),
    "init/j.yaml": ("name: j\nlaw: [normal]", "init=j", "unknown init.law"),
    "init/k.yaml": ("# @package foo\nname: k\nlaw: normal", "init=k", "the only such line is `# @package _global_`"),
    "init/he.yaml": ("name: he\nlaw: normal", "init=he", "init/he.yaml: the name 'he' is taken; choose another"),
    "init/glorot.yaml": ("name: glorot\nlaw: normal", "init=glorot", "the name 'glorot' is taken"),
    "activation/a.yaml": ("- a", "activation=a", "activation must hold settings"),
    "bias/a.yaml": ("name: [a]", "bias=a", "unknown bias"),
    "experiment/e.yaml": ("seeds: 1", "experiment=e", "start with the line `# @package _global_`"),
    "experiment/f.yaml": ("", "experiment=f", "start with the line `# @package _global_`"),
    "experiment/g.yaml": ("- a", "experiment=g", "start with the line `# @package _global_`"),
    "experiment/h.yaml": ("# @package _global_\nsweep: {experiment: d4}", "experiment=h", "cannot name another"),
    "experiment/i.yaml": ("# @package _global_\nsweep: {init: [he,zero]}", "experiment=i", "init must be a name, or"),
}


@pytest.mark.full
@pytest.mark.parametrize("file", BAD_FILES)
def test_a_users_file_that_is_wrong_is_told_in_one_line(initbench: Initbench, tmp_path: Path, file: str) -> None:
    content, override, message = BAD_FILES[file]
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as error:
        ask(override, config_dir=tmp_path)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    listed = initbench("list", Path(file).parent, "--config-dir", tmp_path)
    assert (listed.code, listed.out, len(listed.err.splitlines())) == (2, "", 1)
    assert file in listed.err


@pytest.mark.full
@pytest.mark.parametrize(
    ("folder", "name"), [("it's", "2024"), ("a b", "null"), ("[x]", "1e3"), ("x,y", "it's"), ("back\\", "a b")]
)
def test_folders_and_files_of_any_name_are_found(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder / "init").mkdir(parents=True)
    (tmp_path / folder / "init" / f"{name}.yaml").write_text(f'name: "{name}"\nlaw: normal\n')
    for swept in (f"init={quoted(name)}", f"init=he,{quoted(name)}"):
        assert ask(swept, config_dir=tmp_path / folder).cells[-1].init.name == name


def test_what_a_run_accepts_is_listed(initbench: Initbench, tmp_path: Path) -> None:
    (tmp_path / "init").mkdir()
    (tmp_path / "init" / "deep.yaml").write_text("name: deep\nlaw: sparse\nk: ${depth}\n")
    (tmp_path / "init" / "ruled.yaml").write_text("name: ruled\nlaw: normal\nscheme: fixup\n")
    answer = initbench("list", "init", "--config-dir", tmp_path)
    assert answer.code == 0
    assert "ruled" in answer.out


def test_an_optimizer_that_there_is_not_is_named(initbench: Initbench) -> None:
    Path("own/optimizer").mkdir(parents=True)
    Path("own/optimizer/fast.yaml").write_text("name: fast\n", encoding="utf-8")
    refused = initbench("run", "optimizer=fast", "dataset=synthetic", "--config-dir", "own")
    assert refused.code == 2
    assert refused.err.startswith("initbench: error: unknown optimizer 'fast'"), refused.err
