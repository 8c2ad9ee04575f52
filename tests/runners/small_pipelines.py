"""Pipelines whose stages are a few lines of Python, for those who run them. (kfp needs real annotations here.)"""

from kfp import dsl

NUMBER = """
import json, pathlib, sys
value, words, note, out, text = sys.argv[1:]
pathlib.Path(text).write_text(f"{value} {words} {note}")
pathlib.Path(out).parent.mkdir(parents=True, exist_ok=True)
pathlib.Path(out).write_text(str(2 * int(value)))
print("made", value)
"""
READ = """
import pathlib, sys
if pathlib.Path(sys.argv[1]).read_text() != sys.argv[2]:
    sys.exit(f"error: {sys.argv[1]}: {pathlib.Path(sys.argv[1]).read_text()!r}")
"""
# Ends with the code that a file on the volume lists for this attempt.
FAIL = """
import pathlib, sys
file = pathlib.Path(sys.argv[1])
code, *rest = file.read_text().split()
file.write_text(" ".join(rest))
print("error: as planned", file=sys.stderr)
sys.exit(int(code))
"""


@dsl.container_component
def number(value: int, words: list, note: str, out: dsl.OutputPath(int), text: dsl.Output[dsl.Dataset]):  # type: ignore[type-arg, valid-type, no-untyped-def]
    return dsl.ContainerSpec(
        image="millrace/number:1", command=["python", "-c", NUMBER], args=[value, words, note, out, text.path]
    )


@dsl.container_component
def read(text: dsl.Input[dsl.Dataset], expected: str):  # type: ignore[no-untyped-def]
    return dsl.ContainerSpec(image="millrace/read:1", command=["python", "-c", READ], args=[text.path, expected])


@dsl.container_component
def fail(file: str):  # type: ignore[no-untyped-def]
    return dsl.ContainerSpec(image="millrace/fail:1", command=["python", "-c", FAIL], args=[file])


@dsl.pipeline(name="p")
def branches(limit: int = 3, word: str = "a") -> None:
    first = number(value=limit, words=["x", {"y": 1}], note=f"of {word}").set_display_name("First number")
    with dsl.If(first.outputs["out"] > 5, name="big"):
        second = number(value=first.outputs["out"], words=[], note="'quoted' {{$}}").set_display_name("second")
        with dsl.If(word == "a", name="a"):
            read(text=second.outputs["text"], expected="6 [] 'quoted' {{$}}").set_display_name("inner")
    with dsl.Else(name="small"):
        number(value=0, words=[], note="").set_display_name("other")
    read(text=first.outputs["text"], expected='3 ["x", {"y": 1}] of a').set_display_name("beside").after(second)
