"""Every new array and every random draw states its dtype: JAX's default depends on the process."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("morl", "agents", "envs", "tune")
# position of the dtype among the arguments
CREATED = {"zeros": 1, "ones": 1, "empty": 1, "full": 2, "array": 1, "arange": 3, "linspace": 5, "eye": 3}
DRAWN = {"uniform": 2, "normal": 2, "exponential": 2, "gumbel": 2, "dirichlet": 3, "gamma": 3, "randint": 4}
WHERE = {"jnp": CREATED, "jax.random": DRAWN, "jax.nn": {"one_hot": 99}}


def unstated(source):
    """Return the line and text of the calls that state no dtype."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            place = WHERE.get(ast.unparse(call.func.value), {}).get(call.func.attr)
            if place is not None and len(call.args) <= place and "dtype" not in {word.arg for word in call.keywords}:
                yield call.lineno, ast.unparse(call)


def test_every_array_states_its_dtype():
    files = {path.resolve() for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert len(files) > 200
    found = [f"{path.relative_to(ROOT)}:{line}: {text}" for path in files for line, text in unstated(path.read_text())]
    assert not found, "\n".join(sorted(found))


def test_a_call_without_a_dtype_is_found():
    source = "jnp.zeros(3)\njnp.zeros(3, bool)\njax.random.normal(key, dtype=x)\njax.random.uniform(key, (3,))\n"
    assert [line for line, _ in unstated(source)] == [1, 4]
