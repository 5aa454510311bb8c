"""`manovac models`: the transducer families that a rig file can name."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

    from drivers.model import Model


def models(
    name: Annotated[str | None, typer.Argument(help="Tell all of this one.", metavar="[MODEL]")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """List what a rig file can say behind `model =`; ours, and those of other packages that are installed.

    Exit codes: 0 ok; 1 a package's model cannot be loaded; 2 no such model.
    """
    from drivers import registry  # noqa: PLC0415 - the work is imported when the command runs
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    try:
        found = [registry.model(each) for each in (registry.names() if name is None else [name])]
    except registry.UnknownModelError as error:
        raise CommandError(str(error), USAGE) from error
    except (ImportError, TypeError) as error:
        raise CommandError(f"{error}\ninstall or repair the package that offers it") from error
    if as_json:
        import orjson  # noqa: PLC0415

        typer.echo(orjson.dumps([_row(each) for each in found], option=orjson.OPT_INDENT_2).decode())
    elif name is None:
        width = max(len(each.name) for each in found)
        typer.echo("\n".join(f"{each.name:{width}}  {', '.join(each.quantities):21}  {each.title}" for each in found))
    else:
        typer.echo(_told(found[0]))


def _row(model: "Model") -> dict[str, object]:
    return {
        "name": model.name,
        "title": model.title,
        "protocol": model.protocol,
        "kinds": sorted(model.kinds),
        "bauds": sorted(model.bauds),
        "formats": sorted(model.formats),
        "units": [model.units[0], model.units[-1]],
        "quantities": list(model.quantities),
        "range_pa": model.span,
        "words": sorted(model.takes | model.needs),
        "needs": sorted(model.needs),
        "options": {} if model.options is None else model.options.model_json_schema()["properties"],
        "faults": model.faults,
        "identity": model.identity,
        "unconfirmed": model.unconfirmed,
    }


def _options(options: "type[BaseModel]") -> str:
    """Return what the options are, by the docstring of their class; their names where it has none."""
    import inspect  # noqa: PLC0415
    import re  # noqa: PLC0415

    attributes = inspect.cleandoc(options.__doc__ or "").partition("Attributes:\n")[2]
    told = [" ".join(each.split()).rstrip(".") for each in re.split(r"^    (?=\S)", attributes, flags=re.MULTILINE)[1:]]
    return "; ".join(told or options.model_fields)


def _told(model: "Model") -> str:
    words = ", ".join(f"{word} (needed)" if word in model.needs else word for word in sorted(model.takes | model.needs))
    line = f"{', '.join(map(str, sorted(model.bauds)))} baud, {', '.join(sorted(model.formats))}"
    facts = {
        "measures": ", ".join(model.quantities),
        "protocol": model.protocol,
        "bus": ", ".join(sorted(model.kinds)) + ("; alone on its line" if model.alone else ""),
        "line": line if any(kind.has_line for kind in model.kinds) else "",
        "unit": f"{model.units[0]} to {model.units[-1]}" if len(model.units) > 1 else str(model.units[0]),
        "words": words,
        "options": "" if model.options is None else _options(model.options),
        "a fault": model.faults,
        "identity": model.identity,
        "unconfirmed": model.unconfirmed,
    }
    return "\n".join([f"{model.name}: {model.title}", *(f"  {key:11} {fact}" for key, fact in facts.items() if fact)])
