"""Overrides and files that nobody means well: each is answered by one line and exit 2, and nothing happens."""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Answer

from initbench.settings.overrides import quoted

Initbench = Callable[..., Answer]

# What a reference must not reach, in every spelling there is: the environment, the clock, versions, folders.
SPELLINGS = [
    "${oc.env:SECRET}", "${ oc.env:SECRET}", "${oc.env :SECRET}", "${oc.env: SECRET }", "${oc.env:'SECRET'}",
    "${oc.env:SECRET,none}", "${env:SECRET}", "${oc.${x}:SECRET}", "${${x}}", "${depth}${oc.env:SECRET}",
    "$${oc.env:SECRET}", "\\${oc.env:SECRET}", "\\\\${oc.env:SECRET}",
    "x${oc.env:SECRET}y", "${oc.env:SECRET", "${.oc.env:SECRET}", "${[oc.env]:SECRET}", "${oc\u200b.env:SECRET}",
    "${oc.decode:${oc.env:SECRET}}", "${oc.decode:'${oc.env:SECRET}'}", "${oc.create:{a:${oc.env:SECRET}}}",
    "${oc.create:[1,2]}", "${oc.select:depth}", "${oc.dict.keys:optimizer}", "${oc.dict.values:optimizer}",
    "${oc.deprecated:depth}", "${now:%Y}", "${now:}", "${python_version:}", "${python_version:micro}",
    "${hydra:runtime.cwd}", "${hydra:job.env_set.SECRET}", "${hydra.runtime.cwd}", "${hydra.runtime.version}",
    "${.name}", "${..depth}", "${options.init}", "${nope}", "${init}",
]  # fmt: skip


def harmless(answer: Answer, before: set[str]) -> str:
    """One line, exit 2, no secret, no file; the line."""
    assert (answer.code, answer.out, len(answer.err.splitlines())) == (2, "", 1), answer
    assert answer.err.startswith("initbench: error: ")
    assert answer.err.strip().isprintable()
    assert len(answer.err) < 2000
    assert not {"hunter2", "Traceback"} & set(answer.err.replace("'", " ").split())
    assert {str(path) for path in Path().rglob("*")} == before
    return answer.err


def refused(initbench: Initbench, *arguments: str) -> str:
    before = {str(path) for path in Path().rglob("*")}
    return harmless(initbench("run", "depth=1", "seeds=1", "epochs=1", "--dry-run", *arguments), before)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    monkeypatch.setenv("depth", "hunter2")


# Where a text may stand on a command line.
PLACES = {
    "value": "dataset.name={}",
    "list": "width=[{},1]",
    "inner list": "width=[[{}]]",
    "mapping": "dataset.name={{a: {}}}",
    "choice": "dataset.name=choice(x,{})",
    "pattern": "init=glob({})",
    "option": "init={}",
    "name": "name={}",
}


@pytest.mark.full
@pytest.mark.parametrize("place", PLACES)
def test_no_override_refers_to_anything_but_a_setting(initbench: Initbench, place: str) -> None:
    # Each composition takes 50 ms: a few spellings where a text stands deep in a value.
    few = place not in ("value", "option")
    for text in SPELLINGS[:: 8 if few else 1]:
        refused(initbench, PLACES[place].format(quoted(text)))


FILES = {
    "value": ("init/mine.yaml", {"name": "{}", "law": "normal"}, "init=mine"),
    "list": ("dataset/mine.yaml", {"name": "mine", "source": "csv", "path": ["{}"]}, "dataset=mine"),
    "key": ("init/mine.yaml", {"name": "mine", "law": "normal", "{}": 1}, "init=mine"),
    "swept": ("init/mine.yaml", {"name": "mine", "law": "normal", "bias": "{}"}, "init=he,mine"),
    "preset": ("experiment/mine.yaml", {"sweep": {"init": "he"}, "name": "a{}", "depth": "{}"}, "experiment=mine"),
    "sweep": ("experiment/mine.yaml", {"sweep": {"init": "{}"}}, "experiment=mine"),
    "sweep key": ("experiment/mine.yaml", {"sweep": {"{}": "he"}}, "experiment=mine"),
    "defaults": ("experiment/mine.yaml", {"defaults": [{"override /init": "{}"}]}, "experiment=mine"),
    "defaults key": ("experiment/mine.yaml", {"defaults": [{"override /{}": "he"}]}, "experiment=mine"),
    "one of defaults": ("experiment/mine.yaml", {"defaults": ["{}"]}, "experiment=mine"),
}


@pytest.mark.full
@pytest.mark.parametrize("place", FILES)
def test_no_file_refers_to_anything_but_a_setting(initbench: Initbench, place: str) -> None:
    file, content, override = FILES[place]
    for text in SPELLINGS:
        inner = json.dumps(text)[1:-1]
        write(file, "# @package _global_\n" * file.startswith("experiment") + json.dumps(content).replace("{}", inner))
        refused(initbench, override, "--config-dir", "own")


def write(file: str, content: str | bytes) -> None:
    path = Path("own", file)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_what_is_merged_is_not_resolved_either(initbench: Initbench) -> None:
    # OmegaConf resolves what another file is merged into.
    write("experiment/more.yaml", "# @package _global_\nbias: {std: 1.0}")
    spy = "bias: \"${oc.create:{name: '${oc.env:SECRET}'}}\""
    write("experiment/spy.yaml", f"# @package _global_\ndefaults: [_self_, more]\n{spy}")
    assert "may only refer to its own keys" in refused(initbench, "experiment=spy", "--config-dir", "own")


def test_a_file_may_not_be_named_as_a_reference(initbench: Initbench) -> None:
    write("init/${oc.env:SECRET}.yaml", "name: a\nlaw: normal")
    refused(initbench, "init='${oc.env:SECRET}'", "--config-dir", "own")
    refused(initbench, "init=he,'${oc.env:SECRET}'", "--config-dir", "own")


def test_references_to_settings_are_replaced_once(initbench: Initbench) -> None:
    write("init/deep.yaml", "name: d${depth}-${lr}\nlaw: sparse\nk: ${depth}\nstd: 0.5")
    shown = initbench("run", "init=deep", "depth=3", "lr=0.5", "--config", "--config-dir", "own")
    assert "  k: 3\n" in shown.out
    assert "  name: d3-0.5\n" in shown.out
    # What two references make together is a text like any other.
    told = initbench("run", "dataset.name='${name}{oc.env:SECRET}'", "name='$'", "--config")
    assert told.code == 0
    assert "hunter2" not in told.out


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["dataset.name='${dataset.name}'"], "leads back to itself"),
        (["dataset.name='${name}'", "name='${dataset.name}'"], "leads back to itself"),
        (["dataset.name='${optimizer}'"], "is no single value"),
        (["dataset.name='" + "${name}" * 2000 + "'", "name=abcdefghij"], "longer than 10,000 characters"),
    ],
)
def test_references_end(initbench: Initbench, given: list[str], message: str) -> None:
    assert message in refused(initbench, *given)


SWEPT = ["depth", "lr", "epochs", "width", "seeds", "batch_size", "init.std", "warmup"]
LONG = [
    "range(0,1e12)", "range(0,10000001)", "range(0,inf)", "range(0,nan)", "range(nan,1)", "range(0,1,0)",
    "range(0,1,0.0)", "range(0,1,1e-300)", "range(1,0,-1e-9)", "range(-1e308,1e308)", "sort(range(0,1e12))",
    "shuffle(range(0,1e12))", "int(range(0,1e12))", "float(range(0,1e12))", "tag(a,range(0,1e12))",
    f"range(0,{'9' * 4000})", "interval(0,1)", "range(0,1)(", "choice(range(0,9))", "range(0)", "range(a,b)",
]  # fmt: skip


@pytest.mark.parametrize("values", LONG)
def test_no_range_without_an_end(initbench: Initbench, values: str) -> None:
    for key in SWEPT:
        refused(initbench, f"{key}={values}")


# Hundreds of characters, lists in lists, many, or large: overrides, and what the line says.
LARGE = {
    "cells": (["lr=range(1,100002)"], "at most 100,000 cells; 100,001 of lr make 100,001"),
    "axes": (["lr=range(1,1001)", "depth=range(1,1001)", "width=range(1,1001)"], "1,000,000,000"),
    "layers": (["depth=range(0,100000)"], "at most 20,000,000 layers"),
    "one deep": (["depth=1000000", "seeds=1000"], "at most 20,000,000 layers"),
    "trials": (["seeds=1000000", "lr=0.1,0.2"], "at most 1,000,000 trials"),
    "seeds": (["seeds=1000001"], "at most 1,000,000"),
    "points": (["protocol=tuned", *(f"protocol.search.{name}={list(range(1, 400))}" for name in ("lr", "epochs"))],
               "at most 10,000 points"),
    "searches": (["protocol=tuned", "protocol.seeds=1000000"], "at most 1,000,000 trials"),
    "extended": (["protocol=tuned", "protocol.extend=1000000"], "protocol.extend must be at most 100"),
    "options": (["init=" + "he," * 40_000 + "he"], "is longer than 100,000 characters"),
    "list": ([f"seeds=[{'1,' * 20_000}1]"], "is longer than 20,000 characters"),
    "lists": ([f"seeds=[{'1,' * 2_000}1]"] * 6, "is longer than 20,000 characters"),
    "brackets": (["width=" + "[" * 500 + "1" + "]" * 500], "cannot read"),
    "open brackets": (["width=" + "[" * 9000], "cannot read"),
    "some brackets": (["width=" + "[" * 60 + "1" + "]" * 60], "width must be a whole number"),
    "braces": (["width=" + "{a:" * 500 + "1" + "}" * 500], "cannot read"),
    "calls": (["width=" + "int(" * 500 + "1" + ")" * 500], "cannot read"),
    "digits": (["depth=" + "9" * 5000], "cannot read"),
    "fewer digits": (["depth=" + "9" * 4000], "depth must be at most 1,000,000"),
    "exponent": (["lr=1e400"], "lr must be a finite number"),
    "whole number": (["lr=" + "9" * 400], "lr must be a finite number"),
    "references": (["dataset.name='" + "${depth}" * 12_000 + "'"], "longer than 10,000 characters"),
    "key": (["a." * 20_000 + "b=1"], "unknown setting 'a.a."),
    "patterns": (["init=glob([" + "'*a*b*c*d'," * 1000 + "x])"], "init"),
    "network": (["width=1000001"], "width must be at most 1,000,000"),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("what", LARGE)
def test_what_is_too_large_is_refused_before_it_is_made(initbench: Initbench, what: str) -> None:
    given, message = LARGE[what]
    assert message in refused(initbench, *given)


# What would run code, reach Hydra, or print more than a line.
ODD = [
    "init._target_=os.system", "+init._target_=os.system", "_target_=os.system", "init={_target_: os.system}",
    "hydra.run.dir=/tmp/x", "hydra.searchpath=[/]", "hydra/launcher=basic", "hydra=null", "+hydra.x=1",
    "hydra.job.chdir=true", "hydra.job.env_copy=[SECRET]", "~init", "~hydra.job", "++depth=3@x", "depth@x=3",
    "init@hydra.job=he", "init@_global_=he", "/init=he", "init/he=he", "init=../init/he", "init=/etc/passwd",
    "init=he.yaml", "experiment=../config", "experiment=config", "dataset=../../x", "defaults=[x]", "sweep.init=he",
    "sweep={init: he}", "options.init=he", "options={}", "+options.init.o0=x", "name=..", "name=/tmp/x", "name=a/b",
    "name='.'", "name=''", "results=''", "device=cuda:x", "device=/dev/null", "seeds=[]", "seeds={a: 1}", "seeds=-1",
    "seeds=[-1]", "seeds=[1.5]", "seeds=[18446744073709551616]", "seeds=true", "depth=true", "depth=null",
    "depth=1.0", "depth=-0.0", "depth=", "depth", "=3", "==", "", " ", "depth=1=2", "depth='1'", "lr=nan", "lr=-inf",
    "lr=0", "lr=-0.0", "lr=[0.1]", "lr={a: 1}", "lr='0.1'", "width=[]", "width=[[1]]", "width=[1,null]",
    "width={1: 2}", "init=null", "init=[he]", "init={}", "init={name: he}", "init=true", "init=1", "init.std=[1]",
    "init.gain={}", "init.gain=nan", "init.gain=1e999", "init.name={}", "init.law=normal", "init.code=x",
    "init.file=/etc/passwd", "init.path=x.py", "bias=he", "bias.std=-1", "optimizer.lr=1", "optimizer=null",
    "optimizer.momentum=1", "optimizer.__class__=x", "model=module", "model.path=x.py:f", "model=null", "model={}",
    "dataset=csv", "dataset=csv dataset.path=/dev/null", "dataset.root=[]", "dataset.val=-1",
    "dataset.val=nan", "dataset.sha256=1", "dataset.epochs=0", "protocol=tuned,protocol=fixed",
    "protocol.search.seeds=[1]", "protocol.search.lr=[0.1]", "protocol={}", "protocol.name=x", "experiment=nope",
    "experiment=[d4]", "experiment=smoke,d4", "init=glob()", "init=glob(zz*)", "depth=glob(*)", "init=choice()",
    "init=glob([he*,1])", "init='he\nxavier'", "init='he\rx'", "init='\x1b[31mhe'", "init='\x00'", "depth=1\n",
    "init='\u2028'", "init='\ud800'", "dataset.name='\x07'", "init=he;rm", "init=$(id)", "init=`id`", "init={{x}}",
    "init=%s", "init='{x!r}'", "init=!!python/name:os.system", "init=&a", "init=*a", "-x=1", "+", "~", "@", "a@",
    "a:b@c=1", "lr=1_0_0_", "lr=0x10", "lr=1e", "lr=1,", "lr=,1", "lr=1,,2", "extend_list(1)=2", "lr=extend_list(1)",
    "lr=json_str({})", "lr=str(1)", "width=int(x)", "depth=bool(3)", "lr=sort(b,1)", "lr=eval(1)", "lr=__import__(os)",
]  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("text", ODD)
def test_what_is_no_setting_is_refused(initbench: Initbench, text: str) -> None:
    refused(initbench, *([text] if text in ("", " ") else text.split(" dataset.path=")[:1]))


G = "# @package _global_\n"
# A file of options, the override that uses it, and what the line says.
BAD = {
    "aliases": ("init/a.yaml", "name: &n a\nlaw: *n", "init=a", "write out what *n stands for"),
    "itself": ("init/a.yaml", "&x\nname: a\nlaw: normal\nstd: *x", "init=a", "write out what *x stands for"),
    "list in itself": ("init/a.yaml", "&x [*x]", "init=a", "write out what *x"),
    "laughs": ("init/a.yaml", "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
        f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    ), "init=a", "write out what *a stands for"),
    "merges": ("init/a.yaml", "a: &a {name: a}\nb: {<<: [*a, *a]}", "init=a", "write out what *a stands for"),
    "brackets": ("init/a.yaml", "a: " + "[" * 500 + "]" * 500, "init=a", "nested deeper than 20 levels"),
    "braces": ("init/a.yaml", "a: " + "{a: " * 500 + "}" * 500, "init=a", "nested deeper than 20 levels"),
    "dashes": ("init/a.yaml", "- " * 40_000, "init=a", "nested deeper than 20 levels"),
    "open brackets": ("init/a.yaml", "[" * 90_000, "init=a", "nest"),
    "a large file": ("init/a.yaml", "#" * 100_001, "init=a", "larger than 100,000 bytes"),
    "digits": ("init/a.yaml", f"name: a\nlaw: normal\nstd: {'9' * 5000}", "init=a", "cannot read"),
    "hexadecimal digits": ("init/a.yaml", f"name: a\nlaw: normal\nstd: 0x{'f' * 5000}", "init=a", "whole number"),
    "sixties": ("init/a.yaml", f"name: a\nlaw: normal\nstd: 1{':59' * 3000}", "init=a", "whole number"),
    "binary digits": ("init/a.yaml", f"name: a\nlaw: normal\nstd: 0b{'1' * 20_000}", "init=a", "whole number"),
    "an object": ("init/a.yaml", "!!python/object/apply:os.system ['touch pwned']", "init=a", "has the tag"),
    "a path": ("init/a.yaml", "name: !!python/object/apply:pathlib.Path [a]\nlaw: normal", "init=a", "has the tag"),
    "a name": ("init/a.yaml", "name: !!python/name:os.system\nlaw: normal", "init=a", "has the tag"),
    "bytes": ("init/a.yaml", "name: !!binary aGk=\nlaw: normal", "init=a", "has the tag"),
    "a set": ("init/a.yaml", "name: !!set {a}\nlaw: normal", "init=a", "has the tag"),
    "a date": ("init/a.yaml", "name: 2024-13-45\nlaw: normal", "init=a", "cannot read"),
    "a good date": ("init/a.yaml", "name: a\nlaw: normal\nstd: 2024-01-05", "init=a", "init.std must be a finite"),
    "a key that is a number": ("init/a.yaml", "1: 2", "init=a", "a key must be a text"),
    "a key that is null": ("init/a.yaml", "? \n: 2", "init=a", "a key must be a text"),
    "a key that is a list": ("init/a.yaml", "? [1]\n: 2", "init=a", "cannot read"),
    "a key twice": ("init/a.yaml", "name: a\nname: b\nlaw: normal", "init=a", "duplicate key"),
    "two documents": ("init/a.yaml", "name: a\n---\nname: b", "init=a", "cannot read"),
    "a number": ("init/a.yaml", "3", "init=a", ""),
    "a text": ("init/a.yaml", "he", "init=a", ""),
    "no text": ("init/a.yaml", b"\x00\x01\xff\xfe", "init=a", "cannot read"),
    "UTF-16": ("init/a.yaml", "name: a".encode("utf-16"), "init=a", "cannot read"),
    "tabs": ("init/a.yaml", "name:\ta\n\tlaw: normal", "init=a", "cannot read"),
    "escape": ("init/a.yaml", 'name: "\\e[31mred"\nlaw: normal', "init=a", "does not print"),
    "lines": ("init/a.yaml", "name: |\n  a\n  b\nlaw: normal", "init=a", "does not print"),
    "a surrogate": ("init/a.yaml", 'name: "\\ud800"\nlaw: normal', "init=a", ""),
    "deep keys": ("init/a.yaml", "name: a\nlaw: normal\nstd: {a: {b: {c: 1}}}", "init=a", "init.std must be a finite"),
    "points in keys": ("init/a.yaml", "name: a\nlaw: normal\nstd.x: 1", "init=a", "unknown setting 'init.std.x'"),
    "missing": ("init/a.yaml", "name: ???\nlaw: normal\nstd: ???", "init=a", "init.std must be a finite number"),
    "a target": ("init/a.yaml", "name: a\nlaw: normal\n_target_: os.system", "init=a", "unknown setting"),
    "a law by path": ("init/a.yaml", "name: a\nlaw: /tmp/law.py", "init=a", "unknown init.law"),
    "a file of code": ("init/a.yaml", "name: a\nlaw: normal\nfile: /tmp/x.py", "init=a", "unknown setting 'init.file'"),
    "a module": ("model/a.yaml", "name: module\npath: /etc/passwd:os.system", "model=a", "FILE.py:FUNCTION"),
    "its own defaults": ("init/a.yaml", "defaults: [a]\nname: a\nlaw: normal", "init=a", "lead back to itself"),
    "defaults outside": ("init/a.yaml", "defaults: [../../x]\nname: a", "init=a", "unknown init '../../x'"),
    "defaults anywhere": ("init/a.yaml", "defaults: [/etc/passwd]\nname: a", "init=a", "unknown init '/etc/passwd'"),
    "defaults by number": ("init/a.yaml", "defaults: [1]\nname: a", "init=a", "a line of defaults is"),
    "defaults by text": ("init/a.yaml", "defaults: x\nname: a", "init=a", "unknown init 'x'"),
    "defaults of Hydra": ("experiment/a.yaml", G + "defaults: [{/hydra/launcher: basic}]", "experiment=a", "a line of"),
    "into Hydra": ("experiment/a.yaml", G + "defaults: [{/init@hydra.job: he}]", "experiment=a", "a line of"),
    "override Hydra": ("experiment/a.yaml", G + "defaults: [{override hydra/help: x}]", "experiment=a", "a line of"),
    "lists of defaults": ("experiment/a.yaml", G + "defaults: [{/init: [he, zero]}]", "experiment=a", "a line of"),
    "Hydra": ("experiment/a.yaml", G + "hydra: {job: {env_copy: [NOPE]}}", "experiment=a", "unknown setting 'hydra'"),
    "Hydra's package": ("init/a.yaml", "# @package hydra.job\nenv_copy: [NOPE]", "init=a", "the only such line"),
    "two in a header": ("init/a.yaml", "# @package a b\nname: a", "init=a", "the only such line"),
    "an empty header": ("init/a.yaml", "# @package\nname: a", "init=a", "the only such line"),
    "a sweep of a sweep": ("experiment/a.yaml", G + "sweep: {sweep: 1}", "experiment=a", "unknown setting 'sweep'"),
    "a sweep of a preset": ("experiment/a.yaml", G + "sweep: {experiment: d4}", "experiment=a", "cannot name"),
    "a long sweep": ("experiment/a.yaml", G + "sweep: {lr: 'range(0,1e12)'}", "experiment=a", "more than 1,000,000"),
    "a wrong sweep": ("experiment/a.yaml", G + "sweep: {'init=he depth': 3}", "experiment=a", ""),
    "a sweep of Hydra": ("experiment/a.yaml", G + "sweep: {hydra.job.chdir: true}", "experiment=a", "is not a setting"),
    "a preset of itself": ("experiment/a.yaml", G + "defaults: [a]", "experiment=a", "lead back to itself"),
    "null": ("experiment/a.yaml", G + "dataset: null\ninit: null", "experiment=a", ""),
    "no mappings": ("experiment/a.yaml", G + "dataset: 3", "experiment=a", ""),
    "lists": ("experiment/a.yaml", G + "optimizer: [1]", "experiment=a", ""),
    "a protocol": ("experiment/a.yaml", G + "protocol: {search: 3}", "experiment=a", ""),
    "a search": ("protocol/a.yaml", "name: tuned\nsearch: {lr: {a: 1}}", "protocol=a", ""),
    "an empty search": ("protocol/a.yaml", "name: tuned\nsearch: {lr: []}", "protocol=a", "empty list"),
    "a data set": ("dataset/a.yaml", "name: a\nsource: [csv]", "dataset=a", ""),
    "infinite": ("dataset/a.yaml", "name: a\nsource: digits\nval: .inf\nstandardize: none\nepochs: 1", "dataset=a", ""),
    "not a number": ("init/a.yaml", "name: a\nlaw: normal\nstd: .nan", "init=a", "init.std must be a finite number"),
}  # fmt: skip


@pytest.mark.full
@pytest.mark.parametrize("what", BAD)
def test_a_hostile_file_is_refused(initbench: Initbench, what: str) -> None:
    file, content, override, message = BAD[what]
    write(file, content)
    assert message in refused(initbench, override, "--config-dir", "own")


@pytest.mark.full
def test_what_is_no_file_is_refused(initbench: Initbench) -> None:
    folder = Path("own/init")
    folder.mkdir(parents=True)
    (folder / "dir.yaml").mkdir()
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "gone.yaml").symlink_to("nothing")
    (folder / "device.yaml").symlink_to("/dev/zero")
    subprocess.run(["mkfifo", folder / "pipe.yaml"], check=True)
    for name in ("dir", "loop", "gone", "device", "pipe"):
        assert f"/own/init/{name}.yaml: it is no file" in refused(initbench, f"init={name}", "--config-dir", "own")


def test_two_presets_that_name_each_other_are_refused(initbench: Initbench) -> None:
    write("experiment/a.yaml", G + "defaults: [b]")
    write("experiment/b.yaml", G + "defaults: [a]")
    assert "lead back to itself" in refused(initbench, "experiment=a", "--config-dir", "own")


@pytest.mark.full
@pytest.mark.parametrize(
    "given",
    [
        ["depth=range(0,100000)"],
        ["seeds=range(0,10000000)"],
        ["lr=range(1,1001)", "depth=range(1,1001)", "width=range(1,1001)"],
        ["dataset.name='" + "${depth}" * 12_000 + "'"],
        ["init=laughs", "--config-dir", "own"],
        ["init=dashes", "--config-dir", "own"],
    ],
)
def test_memory_and_time_are_bounded(given: list[str]) -> None:
    content = str(BAD["laughs"][1])
    write("init/laughs.yaml", content)
    write("init/dashes.yaml", "- " * 40_000)

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))

    command = [sys.executable, "-m", "initbench", "run", "--dry-run", *given]
    command[1:3] = ["-c", "from initbench.commands.app import main; main()"]
    answer = subprocess.run(command, capture_output=True, text=True, preexec_fn=bound)
    assert (answer.returncode, answer.stdout, len(answer.stderr.splitlines())) == (2, "", 1), answer
