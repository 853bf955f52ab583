"""Targets are found, loaded beside other modules, run repeatably, and fail in the user's words."""

from __future__ import annotations

import pickle
import random
import sys
import textwrap

import pytest

import gradcheck
from gradcheck.errors import TargetError, UsageError
from gradcheck.report.records import Report, Verdict
from gradcheck.targets import Arguments, Target, load, run_target, targets_in
from gradcheck.targets.place import is_from


@pytest.fixture(autouse=True)
def _clean(tmp_path, monkeypatch):
    """Run in an empty folder, and forget what was loaded there."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield
    assert sys.path == path
    for name, module in list(sys.modules.items()):
        if is_from(module, tmp_path.resolve()):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture
def verified(monkeypatch):
    """Stand in for ``verify`` and keep what it was called with."""
    calls = []

    def verify(*args, **kwargs):
        calls.append((args, kwargs))
        return Report(kwargs["name"], Verdict.PASS, {}, seed=kwargs.get("seed", 0))

    monkeypatch.setattr("gradcheck.verification.verify", verify)
    return calls


TWO = """
    import gradcheck

    @gradcheck.target
    def first():
        return abs, 1.0

    @gradcheck.target(order=2, rtol=1e-5)
    def second():
        return gradcheck.arguments(abs, 1.0, kwargs={"x": 1})

    def plain():
        return abs, 2.0

    def needs(x):
        return abs, x
"""


def test_every_target_of_a_file_is_found_in_order(write):
    write("two.py", TWO)
    first, second = load("two.py")
    assert (first.name, first.spec, first.file, first.line) == ("first", "two.py:first", "two.py", 4)
    assert dict(second.options) == {"order": 2, "rtol": 1e-5}


def test_a_file_without_targets_is_empty_where_none_is_no_error(write):
    write("two.py", TWO)
    write("none.py", "x = 1\n")
    assert [target.name for target in targets_in("two.py")] == ["first", "second"]
    assert targets_in("none.py") == ()


def test_one_target_is_named_after_a_colon(write):
    write("two.py", TWO)
    (found,) = load("two.py:second")
    assert found.name == "second"


def test_a_named_function_need_not_be_decorated(write):
    write("two.py", TWO)
    (found,) = load("two.py:plain")
    assert isinstance(found, Target)
    assert found.function() == (abs, 2.0)


def test_the_decorated_function_stays_an_ordinary_function(write):
    write("two.py", TWO)
    first, _ = load("two.py")
    assert first.function() == (abs, 1.0)
    assert pickle.loads(pickle.dumps(first.function)) is first.function


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("two.py:frist", UsageError, "There is no 'frist' in two.py. Did you mean 'first'?"),
        ("two.py:zzz", UsageError, "It has: first, second."),
        ("tow.py", UsageError, "There is no file 'tow.py'. Did you mean 'two.py'?"),
        ("elsewhere/file.py", UsageError, "Check the path."),
        ("two.py:", UsageError, "Expected FILE:TARGET but got 'two.py:'"),
        ("folder", UsageError, "folder is a folder; name the files in it, for example folder/*.py."),
        ("case.json", UsageError, "replay a saved case with --case case.json"),
        ("notes.txt", UsageError, "notes.txt is no Python file"),
        ("no.such.module", UsageError, "no file and no module 'no.such.module'"),
        ("..", UsageError, "is a folder"),
        ("two.py:needs", TargetError, "needs x, and a target takes no arguments"),
        ("two.py:gradcheck", TargetError, "two.py:gradcheck is a module, neither a target nor an engine"),
        ("empty.py", TargetError, "empty.py has no target; decorate a function"),
    ],
)
def test_what_cannot_be_found_is_said_with_what_to_do(write, tmp_path, spec, error, words):
    write("two.py", TWO)
    write("empty.py", "x = 1")
    write("case.json", "{}")
    write("notes.txt", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(error) as caught:
        load(spec)
    assert words in str(caught.value)


def test_a_module_is_found_from_the_working_folder(write):
    write("pkg/__init__.py", "")
    write("pkg/models.py", TWO)
    assert [t.spec for t in load("pkg.models")] == ["pkg.models:first", "pkg.models:second"]


def test_a_file_in_a_package_may_import_its_neighbours(write):
    write("pkg/__init__.py", "")
    write("pkg/layers.py", "size = 3")
    write(
        "pkg/models.py",
        """
        import gradcheck
        from .layers import size

        @gradcheck.target
        def sized():
            return abs, size
        """,
    )
    (found,) = load("pkg/models.py")
    assert found.function() == (abs, 3)


def test_two_folders_with_helpers_of_one_name_get_each_their_own(write, verified):
    for folder, size in (("a", 1), ("b", 2)):
        write(f"{folder}/layers.py", f"size = {size}")
        write(
            f"{folder}/model.py",
            """
            import gradcheck
            from layers import size

            @gradcheck.target
            def sized():
                import layers
                assert layers.size == size
                return abs, size
            """,
        )
    (a,), (b,) = load("a/model.py"), load("b/model.py")
    for target in (a, b, a):
        run_target(target)
    assert [args for args, _ in verified] == [(abs, 1), (abs, 2), (abs, 1)]


def test_no_module_that_is_there_already_is_replaced(write):
    import json
    import textwrap as taken

    write("json.py", TWO)
    write("textwrap.py", TWO)
    assert len(load("json.py")) == len(load("textwrap.py")) == 2
    assert sys.modules["json"] is json
    assert sys.modules["textwrap"] is taken


def test_dataclasses_and_pickle_work_inside(write):
    write(
        "data.py",
        """
        from __future__ import annotations
        import pickle
        from dataclasses import dataclass, field
        from typing import ClassVar
        import gradcheck

        @dataclass
        class Config:
            size: int = 3
            shared: ClassVar[int] = 1

        @gradcheck.target
        def config():
            return abs, pickle.loads(pickle.dumps(Config())).size
        """,
    )
    (found,) = load("data.py")
    assert found.function() == (abs, 3)


def test_imported_targets_belong_to_their_own_file(write):
    write("two.py", TWO)
    write(
        "more.py", "from two import *\nimport gradcheck\n@gradcheck.target\ndef own():\n    return abs, 1\n"
    )
    assert [t.name for t in load("more.py")] == ["own"]


def test_targets_made_by_a_factory_are_named_for_their_variable(write):
    write(
        "made.py",
        """
        import gradcheck

        def make(size):
            return gradcheck.target(lambda: (abs, size))

        small, large = make(1), make(100)
        """,
    )
    assert [(t.name, t.function()[1]) for t in load("made.py")] == [("small", 1), ("large", 100)]


def test_an_engine_is_found_by_name(write):
    write(
        "my_engine.py",
        """
        class Mine:
            name = "mine"
            def supports(self, operation): return True
            def value_and_gradients(self, graph, values): ...

        engine = Mine()
        """,
    )
    assert load("my_engine.py:engine").name == "mine"
    with pytest.raises(TargetError, match=r"gradcheck verify my_engine\.py:engine"):
        load("my_engine.py")
    with pytest.raises(TargetError, match="the class Mine, and an engine is an instance"):
        load("my_engine.py:Mine")


def test_a_file_that_raises_shows_the_users_traceback_only(write):
    write("helper.py", "def fail():\n    raise ValueError('no such size')\n")
    write("broken.py", "from helper import fail\n\nfail()\n")
    with pytest.raises(TargetError) as caught:
        load("broken.py")
    assert str(caught.value).splitlines() == [
        "broken.py cannot be loaded: ValueError: no such size",
        "Traceback (most recent call last):",
        '  File "broken.py", line 3, in <module>',
        "    fail()",
        '  File "helper.py", line 2, in fail',
        "    raise ValueError('no such size')",
        "ValueError: no such size",
        "Make this run without an error first: python broken.py",
    ]
    assert "broken" not in sys.modules


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", 'File "'),
        ("def f(:\n", "SyntaxError"),
        ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
        ("import sys; sys.exit(3)", "ends the program (SystemExit: 3) when it is loaded; put what"),
        ("from random import nothing_like_it", "cannot import name"),
    ],
)
def test_a_file_that_cannot_be_loaded_says_why(write, text, words):
    write("broken.py", text)
    with pytest.raises(TargetError) as caught:
        load("broken.py")
    assert words in str(caught.value)
    assert "importlib" not in str(caught.value)


def test_a_file_may_be_loaded_again_after_it_was_mended(write):
    write("broken.py", "1 / 0")
    with pytest.raises(TargetError):
        load("broken.py")
    write("broken.py", TWO)
    assert len(load("broken.py")) == 2


def test_options_are_those_of_the_command_then_the_call_then_the_decorator(write, verified):
    write(
        "options.py",
        """
        import gradcheck

        @gradcheck.target(rtol=1, atol=1, order=2)
        def mixed():
            return gradcheck.arguments(abs, 1.0, rtol=2, atol=2)
        """,
    )
    (found,) = load("options.py")
    report = run_target(found, rtol=3)
    assert verified == [((abs, 1.0), {"name": "options.py:mixed", "order": 2, "rtol": 3, "atol": 2})]
    assert report.reproduce == "gradcheck verify options.py:mixed --rtol 3.0 --seed 0"


def test_the_gradient_may_be_named_in_the_decorator_or_in_a_mapping(write, verified):
    write(
        "homework.py",
        """
        import gradcheck

        def loss(params): ...
        def gradient(params): ...

        @gradcheck.target(gradient=gradient)
        def decorated():
            return loss, {"W": 1}

        @gradcheck.target
        def mapped():
            return {"loss": loss, "params": {"W": 1}, "gradient": gradient}
        """,
    )
    for found in load("homework.py"):
        run_target(found)
    (first, keywords), (second, others) = verified
    assert first == second == (first[0], {"W": 1})
    assert keywords["gradient"] is others["gradient"]


def test_the_same_seed_draws_the_same_inputs_and_leaves_no_trace(write, verified):
    write(
        "drawn.py",
        """
        import random
        import gradcheck
        import numpy

        @gradcheck.target
        def drawn():
            return abs, (random.random(), numpy.random.normal())
        """,
    )
    (found,) = load("drawn.py")
    state = random.getstate()
    for seed in (1, 1, 2):
        run_target(found, seed=seed)
    first, again, other = (args[1] for args, _ in verified)
    assert first == again != other
    assert random.getstate() == state


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("None", "returned nothing; return the arguments of verify, for example (model, input)"),
        ("3", "returned an int"),
        ("()", "a tuple of length 0, not a function"),
        ("(1, 2)", "a tuple of length 2 whose first element is an int"),
        ("{'loss': abs}", "a mapping without 'params'"),
    ],
)
def test_a_target_that_returns_something_else_is_told_what_to_return(write, verified, returned, words):
    write("odd.py", f"import gradcheck\n@gradcheck.target\ndef odd():\n    return {returned}\n")
    with pytest.raises(TargetError) as caught:
        run_target(*load("odd.py"))
    assert words in str(caught.value)


def test_a_target_that_raises_shows_the_users_traceback_only(write, verified):
    write("fails.py", "import gradcheck\n@gradcheck.target\ndef fails():\n    return [][1]\n")
    with pytest.raises(TargetError) as caught:
        run_target(*load("fails.py"))
    assert str(caught.value).splitlines() == [
        "fails.py:fails raised IndexError: list index out of range",
        "Traceback (most recent call last):",
        '  File "fails.py", line 4, in fails',
        "    return [][1]",
        "IndexError: list index out of range",
        "Make fails() run without an error first; it has to return the arguments of verify.",
    ]


FORWARD = """
    import gradcheck

    def forward(x):
        raise RuntimeError("shapes differ") from KeyError("cause")

    @gradcheck.target
    def model():
        return forward, 1.0
"""


def test_a_forward_pass_that_raises_is_the_users(write, monkeypatch):
    monkeypatch.setattr("gradcheck.verification.verify", lambda f, *args, **kwargs: f(*args))
    write("forward.py", FORWARD)
    with pytest.raises(TargetError) as caught:
        run_target(*load("forward.py"))
    text = str(caught.value)
    assert text.startswith("forward.py:model raised RuntimeError: shapes differ while it was verified\n")
    assert "KeyError: 'cause'" in text
    assert 'File "forward.py", line 5, in forward' in text
    assert "run.py" not in text


def test_an_error_of_ours_is_not_blamed_on_the_user(write, monkeypatch):
    from gradcheck import judge

    monkeypatch.setattr("gradcheck.verification.verify", lambda *args, **kwargs: judge.digits(None, 1.0))
    write("forward.py", FORWARD)
    with pytest.raises(TypeError):
        run_target(*load("forward.py"))


def test_a_call_that_verify_does_not_take_is_a_usage_error(write, monkeypatch):
    def verify(function, *, name): ...

    monkeypatch.setattr("gradcheck.verification.verify", verify)
    write("forward.py", FORWARD)
    with pytest.raises(UsageError, match=r"Cannot verify forward\.py:model: .*positional"):
        run_target(*load("forward.py"))


def test_the_decorator_refuses_what_it_cannot_use():
    with pytest.raises(UsageError, match="Did you mean 'effort'"):
        gradcheck.target(efort="every")
    with pytest.raises(UsageError, match="needs x, y; make them inside"):

        @gradcheck.target
        def bad(x, y): ...

    with pytest.raises(UsageError, match="Expected a function to mark"):
        gradcheck.target(dict)


def test_arguments_are_frozen():
    given = gradcheck.arguments(abs, 1, order=2)
    assert given == Arguments((abs, 1), {"order": 2})
    with pytest.raises(TypeError):
        given.kwargs["order"] = 1


NUMPY = """
    import numpy as np
    import gradcheck

    params = {"w": np.array([0.3, -0.4])}

    def loss(p):
        return float((p["w"] ** 3).sum())

    def gradient(p):
        return {"w": 3 * p["w"] ** 2}

    def both(p):
        return loss(p), gradient(p)

    @gradcheck.target(gradient=gradient)
    def in_decorator():
        return loss, params

    @gradcheck.target
    def in_mapping():
        return {"loss": loss, "params": params, "gradient": gradient}

    @gradcheck.target(gradient=gradient)
    def mapping_and_decorator():
        return {"loss": loss, "params": params}

    @gradcheck.target(value_and_gradient=both)
    def both_in_decorator():
        return loss, params

    @gradcheck.target(value_and_gradient=both)
    def only_params():
        return None, params

    @gradcheck.target
    def only_both():
        return {"params": params, "value_and_gradient": both}
"""


def test_a_numpy_gradient_is_named_in_the_decorator_or_in_what_is_returned(write):
    write("homework.py", NUMPY)
    found = {target.name: run_target(target) for target in load("homework.py")}
    assert list(found) == [
        *("in_decorator", "in_mapping", "mapping_and_decorator"),
        *("both_in_decorator", "only_params", "only_both"),
    ]
    assert all(report.ok and list(report.parameters) == ["w"] for report in found.values())
