"""Whatever the cells are and in whatever order they come, the script holds them all, once, and runs."""

from __future__ import annotations

import ast
import keyword

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sm_magics.authoring.contract import HANDLERS
from sm_magics.authoring.script import Script

# Inside a class, a name with two leading underscores is another name.
names = st.from_regex(r"(?!__)[a-zà-ÿ_][a-zà-ÿ0-9_]{0,5}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name) and name.isidentifier() and name not in {"_", "print"}
)
# Text in strings and comments: what looks like a section, other line ends that Python does not take for one, escapes.
words = st.text(st.sampled_from("ab é#%'\"\\{}\u2028\x0c\t漢"), max_size=12)
section_lines = st.sampled_from(
    [
        "# %% model_fn",
        "# %% imports",
        "# %% end 0a1b2c3d",
        "# %% x [to 0a1b2c3d]",
        "# %%",
        "# %% [markdown]",
        "#%% y",
        "# x",
    ]
)


def literal(text: str) -> str:
    return repr(text)


@st.composite
def multi_line_strings(draw: st.DrawFn) -> str:
    lines = draw(st.lists(section_lines | st.just("") | st.just("  text"), min_size=1, max_size=4))
    return '"""' + "\n".join(["", *lines, ""]) + '"""'


values = st.one_of(
    words.map(literal), st.integers(0, 9).map(str), multi_line_strings(), st.just("[\n    1,\n\n    2,\n]")
)


@st.composite
def definitions(draw: st.DrawFn, name: str) -> str:
    """One statement that defines `name`, in one of the ways that people write."""
    value = draw(values)
    comment = draw(st.sampled_from(["", "# about it\n", "# é 漢\n\n", "# %% not a section [x]\n"]))
    decorator = draw(st.sampled_from(["", "@staticmethod\n", "@(lambda f: f)  # %% here\n"]))
    body = draw(
        st.sampled_from(
            [
                f"def {name}(*a, **k):\n    '''doc'''\n    return {value}\n",
                f"def {name}(*a, **k): return 1  # same line\n",
                f"class {name}:\n\tx = {value}\n\n\n\tdef f(self): return self.x\n",
                f"async def {name}(*a, **k):\n    return {value}\n",
            ]
        )
    )
    plain = st.sampled_from(
        [f"{name} = {value}\n", f"{name}: object = {value}  # typed\n", f"{name} = other = {value}\n"]
    )
    return comment + (decorator + body if draw(st.booleans()) else draw(plain).replace("other", f"{name}_"))


@st.composite
def cells(draw: st.DrawFn, own: list[str]) -> str:
    """A cell that defines exactly the names `own` (and for some, the same name with an underscore)."""
    parts = [draw(definitions(name)) for name in own]
    extras = st.lists(
        st.sampled_from(
            ["import os\n", "from math import pi, tau\n", "print(end='')\n", "\n\n", "# %% stray\n", "x_1 and None\n"]
        ),
        max_size=3,
    )
    parts += [extra for extra in draw(extras) if "x_1" not in extra]
    head = draw(st.sampled_from(["", "from __future__ import annotations\n", "'''docs'''\n", "# first\n\n"]))
    text = head + draw(st.sampled_from(["", "\n", "\n\n"])).join(parts)
    if draw(st.booleans()):
        text = text.rstrip("\n")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return text


@st.composite
def notebooks(draw: st.DrawFn, max_cells: int = 5) -> list[str]:
    """Cells that define different names."""
    pool = draw(st.lists(names | st.sampled_from(HANDLERS), min_size=1, max_size=9, unique=True))
    # `name_` is what a chained assignment defines besides `name`.
    pool = [name for name in pool if name.removesuffix("_") not in pool or not name.endswith("_")]
    count = draw(st.integers(1, min(max_cells, len(pool))))
    return [draw(cells(pool[index::count])) for index in range(count)]


def written(sources: list[str], script: Script | None = None) -> Script:
    script = script or Script()
    for source in sources:
        script = script.merged(source).script
    return script


def ended(source: str) -> str:
    return source if source.endswith("\n") else source + "\n"


unhurried = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@unhurried
@given(notebooks(), st.randoms())
def test_cells_in_any_order_give_the_same_file(sources, random):
    shuffled = random.sample(sources, len(sources))
    assert written(sources).render() == written(shuffled).render()


@unhurried
@given(notebooks())
def test_the_file_holds_each_cell_byte_for_byte(sources):
    text = written(sources).render()
    read = Script.parse(text)
    assert sorted(section.source for section in read.sections) == sorted(map(ended, sources))
    assert read.render() == text


@unhurried
@given(notebooks(), st.data())
def test_running_a_cell_again_changes_nothing(sources, data):
    script = written(sources)
    again = script.merged(data.draw(st.sampled_from(sources)))
    assert again.script == script
    assert again.replaced
    assert not again.taken_over


@unhurried
@given(notebooks(max_cells=3), notebooks(max_cells=3))
def test_nothing_is_defined_twice_and_the_later_cell_wins(first, second):
    script = written(first)
    for source in second:
        merge = script.merged(source)
        script = merge.script
        assert script.section(merge.section.name).source == ended(source)
        owners: dict[str, str] = {}
        for section in script.sections:
            for name in section.defined:
                assert owners.setdefault(name, section.name) == section.name
        assert set(merge.section.defined) <= set(owners)


@unhurried
@given(notebooks(), words, st.sampled_from(["\n", "\r\n"]))
def test_text_by_hand_at_the_top_stays(sources, comment, end):
    by_hand = end.join(['"""What a person wrote."""', "", f"# {comment}", "import sys  # theirs", "", ""])
    script = written(sources, Script.parse(by_hand))
    read = Script.parse(script.render())
    assert read.preamble.rstrip() == by_hand.rstrip()
    assert (
        script.render()
        .replace("from __future__ import annotations  # for the sections below\n", "")
        .startswith(by_hand)
    )
    compile(script.render(), "inference.py", "exec", dont_inherit=True)


@unhurried
@given(st.text(st.sampled_from("ab\n#% \r'\"[]to"), max_size=80) | st.text(max_size=80))
def test_any_text_is_a_script_and_is_kept(text):
    script = Script.parse(text)
    read = Script.parse(script.render())
    assert read == script
    assert (
        "".join(script.render().split()) == "".join(text.split())
        or "# %% " in text
        or "#^ " in text
        or "__future__" in text
    )


@unhurried
@given(notebooks())
def test_the_file_runs_and_defines_what_the_cells_define(sources):
    expected: set[str] = set()
    for source in sources:
        space: dict[str, object] = {}
        exec(compile(source, "cell", "exec", dont_inherit=True), space)
        expected |= set(space) - {
            "__builtins__",
            "__annotations__",
            "__doc__",
            "__annotate__",
            "__conditional_annotations__",
        }
    space = {}
    exec(compile(written(sources).render(), "inference.py", "exec", dont_inherit=True), space)
    assert expected <= set(space)


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[str], dict[str, int]]:
    """Cells that need each other while they are executed: each name is computed from some of those before it."""
    pool = draw(st.lists(names, min_size=2, max_size=7, unique=True))
    sources, values = [], {}
    for index, name in enumerate(pool):
        needs = draw(st.lists(st.sampled_from(pool[:index]), unique=True, max_size=3)) if index else []
        values[name] = 1 + sum(values[need] for need in needs)
        total = " + ".join(["1", *(f"{need}" for need in needs)])
        called = " + ".join(["1", *(f"{need}" for need in needs)])
        form = draw(st.integers(0, 2))
        if form == 0:
            sources.append(f"{name} = {total}\n")
        elif form == 1:
            # Through a function that another piece of the same cell calls.
            sources.append(f"def {name}__():\n    return {called}\n{name} = {name}__()\n")
        else:
            sources.append(f"class {name}__:\n    value = {total}\n{name} = {name}__.value\n")
    return sources, values


@unhurried
@given(chains(), st.randoms())
def test_cells_that_need_each_other_run_whatever_their_order(chain, random):
    sources, values = chain
    text = written(random.sample(sources, len(sources))).render()
    assert text == written(sources).render()
    space: dict[str, object] = {}
    exec(compile(text, "inference.py", "exec", dont_inherit=True), space)
    assert {name: space[name] for name in values} == values


@unhurried
@given(notebooks())
def test_lines_of_the_file_lead_back_to_lines_of_the_cells(sources):
    from sm_magics.authoring.percent import locate
    from sm_magics.authoring.source import lines_of

    script = written(sources)
    text = script.render()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        name, line = locate(text, node.lineno)
        cell_line = lines_of(script.section(name).source)[line - 1]
        assert cell_line == lines_of(text)[node.lineno - 1]
