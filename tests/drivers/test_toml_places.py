"""Every key and value of a TOML text is found where it stands."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from drivers.toml_places import Span, places

BARE = st.text("abcz09_-", min_size=1, max_size=4)
KEYS = st.one_of(BARE, st.sampled_from(["a.b", "q # x", "", 'say "x"', "ä", "[x]", "="]))


def quoted(key: str) -> str:
    if key and all(char in "abcz09_-" for char in key):
        return key
    return '"' + key.replace('"', '\\"') + '"'


class Writer:
    """Writes a random document; each scalar is told apart by its number."""

    def __init__(self, draw) -> None:
        self.draw = draw
        self.raw = {}
        self.number = 1000

    def scalar(self) -> str:
        self.number += 1
        n = self.number
        raw = self.draw(
            st.sampled_from(
                [
                    f"{n}",
                    f"-{n}.5e1",
                    f'"t {n} # [x] = \\" , }}"',
                    f"'l {n} \\ ] # \"'",
                    f'"""m {n}\n[no.table]\nk = "x" \\" \n""' + '"""',
                    f"'''\nr {n} \" \\\n'k' = [''''",
                    f"{n}-05-27 07:32:00",
                    f"{n}-05-27",
                ]
            )
        )
        self.raw[repr(tomllib.loads(f"k = {raw}")["k"])] = raw
        return raw

    def keys(self) -> list[str]:
        return self.draw(st.lists(KEYS, max_size=3, unique=True))

    def array(self, depth: int) -> str:
        items = [self.value(depth - 1) for _ in range(self.draw(st.integers(0, 3)))]
        gap = self.draw(st.sampled_from(["", " ", "\n  ", " # ], [ \n"]))
        return f"[{gap}" + f",{gap}".join(items) + ("," if items and self.draw(st.booleans()) else "") + f"{gap}]"

    def inline(self, depth: int) -> str:
        pairs = [f"{self.spaced(quoted(key))}={self.value(depth - 1)} " for key in self.keys()]
        return "{" + ",".join(pairs) + "}"

    def spaced(self, text: str) -> str:
        space = self.draw(st.sampled_from(["", " ", "\t"]))
        return f"{space}{text}{space}"

    def value(self, depth: int) -> str:
        kind = self.draw(st.sampled_from(["scalar", "scalar", "array", "inline"])) if depth else "scalar"
        return {"scalar": self.scalar, "array": lambda: self.array(depth), "inline": lambda: self.inline(depth)}[kind]()

    def table(self, header: list[str], depth: int) -> str:
        rows, inner = [], []
        for key in self.keys():
            style = self.draw(st.sampled_from(["pair", "pair", "dotted", "table", "tables"])) if depth else "pair"
            comment = self.draw(st.sampled_from(["", " # c = [", "\n\n# [x]"]))
            if style == "pair":
                rows.append(f"{self.spaced(quoted(key))}= {self.value(2)}{comment}")
            elif style == "dotted":
                rows += [f"{quoted(key)}{self.spaced('.')}{quoted(sub)} = {self.value(1)}" for sub in self.keys()]
            else:
                names = [*header, quoted(key)]
                for _ in range(1 if style == "table" else self.draw(st.integers(1, 3))):
                    opening, closing = ("[", "]") if style == "table" else ("[[", "]]")
                    inner.append(f"{opening}{self.spaced('.'.join(names))}{closing}{comment}")
                    inner.append(self.table(names, depth - 1))
        return "\n".join([*rows, *inner])


def leaves(value, path=()):
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for part, inner in items:
            yield from leaves(inner, (*path, part))
    else:
        yield path, value


def inner_paths(value, path=()):
    if isinstance(value, dict | list):
        for part, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield (*path, part)
            yield from inner_paths(inner, (*path, part))


def rest_at(text: str, span: Span) -> str:
    lines = text.split("\n")
    return "\n".join([lines[span.line - 1][span.column - 1 :], *lines[span.line :]])


@given(st.data())
def test_every_key_path_of_a_random_document_is_found(data):
    writer = Writer(data.draw)
    text = writer.table([], 2)
    document = tomllib.loads(text)
    found = places(text)
    for path, value in leaves(document):
        assert rest_at(text, found.values[path]).startswith(writer.raw[repr(value)]), path
    for path in inner_paths(document):
        if not isinstance(path[-1], str):
            continue
        span = found.keys[path]
        assert quoted(path[-1]) in text.split("\n")[span.line - 1][span.column - 1 :][: span.width], path


def test_a_header_gives_way_to_the_nearest_one_and_a_path_that_is_nowhere_to_nothing():
    text = "[a.b]\nx = 1\n\n[a]\ny = 2\n"
    found = places(text)
    assert found.key(("a",)) == Span(line=4, column=1, width=3)
    assert found.key(("a", "b", "missing")) == Span(line=1, column=1, width=5)
    assert found.value(("a", "y")) == Span(line=5, column=5, width=1)
    assert found.key(("nowhere",)).width == 0


def test_tables_of_an_array_are_told_apart():
    text = "[[h]]\na = 1\n[h.sub]\nb = 2\n[[h]]\na = 3\n[h.sub]\nb = 4\n"
    found = places(text)
    assert [found.key(("h", index)).line for index in (0, 1)] == [1, 5]
    assert [found.value(("h", index, "sub", "b")).line for index in (0, 1)] == [4, 8]
