"""Write the clients of the HTTP API from its OpenAPI document, in Python and in TypeScript.

``python docs/generate_clients.py`` writes them; a unit test says when they are out of date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent, wrap
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from docs.http_document import Operation, Schema, document, operations  # noqa: E402

FOLDER: Final = ROOT / "infra" / "client"
#: Written by hand: they stream. And a path cannot name every viewer.
BY_HAND: Final = {
    *("explore", "live", "live_named", "import_lines", "export_media", "export_accounts"),
}
NAMES: Final = {"explore_named": "explore"}

_PYTHON: Final = {
    "string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None",
}  # fmt: skip
_SCRIPT: Final = {
    "string": "string", "integer": "number", "number": "number", "boolean": "boolean",
    "null": "null",
}  # fmt: skip


def texts() -> dict[str, str]:
    """File name → content of what is generated."""
    of = document()
    told = {one.name: one for one in operations(of)}
    calls = [
        one._replace(description=told[NAMES.get(name, name)].description)
        for name, one in told.items()
        if name not in BY_HAND
    ]
    schemas = of["components"]["schemas"]
    return {"generated.py": _python(schemas, calls), "freshgrid.ts": _script(schemas, calls)}


# Python.


def _python(schemas: dict[str, Schema], calls: list[Operation]) -> str:
    types = "\n\n".join(_typed_dict(name, schemas[name]) for name in sorted(schemas))
    return (
        '"""What the HTTP API takes and answers, and its calls: generated from its OpenAPI '
        'document.\n\n``make generate`` writes it (docs/generate_clients.py).\n"""\n\n'
        "from __future__ import annotations\n\n"
        "from collections.abc import Mapping, Sequence\n"
        "from typing import Any, Literal, NotRequired, TypedDict\n"
        "from urllib.parse import quote\n\n\n"
        f"{types}\n\n\n{_class('Calls', calls)}\n\n\n{_class('AsyncCalls', calls)}\n"
        "\n\ndef _in_path(name: str) -> str:\n"
        '    """An id as a part of a path."""\n'
        '    return quote(name, safe="")\n'
    )


def _typed_dict(name: str, schema: Schema) -> str:
    if "enum" in schema:
        return f"{name} = {_literal(schema['enum'])}\n"
    told = _docstring(schema.get("description", name), 4)
    required = set(schema.get("required", ()))
    fields = "".join(
        f"    {field}: {_type(of) if field in required else f'NotRequired[{_type(of)}]'}\n"
        for field, of in schema.get("properties", {}).items()
    )
    return (
        f"class {name}(TypedDict):\n{told}\n\n{fields}"
        if fields
        else (f"class {name}(TypedDict):\n{told}\n")
    )


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return _literal(schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_type, schema["anyOf"])))
    if schema.get("type") == "array":
        return f"list[{_type(schema.get('items', {}))}]"
    if schema.get("type") == "object":
        of = schema.get("additionalProperties")
        return f"dict[str, {_type(of) if isinstance(of, dict) else 'Any'}]"
    return _PYTHON.get(str(schema.get("type")), "Any")


def _literal(values: list[Any]) -> str:
    return f"Literal[{', '.join(json.dumps(value) for value in values)}]"


def _class(name: str, calls: list[Operation]) -> str:
    wait = name.startswith("Async")
    about = "for coroutines" if wait else "for code that waits for them"
    methods = "\n\n".join(_method(one, wait) for one in calls)
    return (
        f"class {name}:\n"
        f'    """The calls of the API, {about}."""\n\n'
        f"    {'async ' * wait}def _call(\n"
        "        self, method: str, path: str, query: Mapping[str, Any], body: Any\n"
        "    ) -> Any:\n"
        "        raise NotImplementedError\n\n"
        f"{methods}"
    )


def _method(one: Operation, wait: bool) -> str:
    first, later = _arguments(one)
    arguments = ["self", *first, *(["*", *later] if later else [])]
    query = ", ".join(f'"{p["name"]}": {p["name"]}' for p in one.parameters if p["in"] == "query")
    path = one.path
    for parameter in one.parameters:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", f"{{_in_path({parameter['name']})}}")
    answer = _type(one.answer or {})
    body = "body" if one.body is not None else "None"
    form = "f" * (path != one.path)
    call = f'{"await " * wait}self._call("{one.method}", {form}"{path}", {{{query}}}, {body})'
    return (
        f"    {'async ' * wait}def {NAMES.get(one.name, one.name)}(\n"
        f"        {', '.join(arguments)},\n"
        f"    ) -> {answer}:\n"
        f"{_docstring(one.description, 8)}\n"
        f"        answer: {answer} = {call}\n"
        "        return answer"
    )


def _arguments(one: Operation) -> tuple[list[str], list[str]]:
    """What has to be given, by place, and what may be, by name."""
    first, later = [], []
    for parameter in one.parameters:
        of = parameter["schema"]
        kind = _type(of).replace("list[", "Sequence[")
        if parameter.get("required"):
            first.append(f"{parameter['name']}: {kind}")
        else:
            default = of.get("default")
            kind = kind if default is not None or "None" in kind else f"{kind} | None"
            later.append(f"{parameter['name']}: {kind} = {() if default == [] else default!r}")
    if one.body is not None:
        first.append(f"body: {_type(one.body)}")
    return first, later


def _docstring(text: str, spaces: int) -> str:
    width = 99 - spaces
    head, _, rest = " ".join(text.partition("\n\n")[0].split()), "", text.partition("\n\n")[2]
    lines = wrap(head, width - 6)
    if len(lines) == 1 and not rest:
        return indent(f'"""{lines[0]}"""', " " * spaces)
    body = "\n".join(lines) + (f"\n\n{rest}" if rest else "")
    return indent(f'"""{body}\n"""', " " * spaces, lambda line: bool(line.strip()))


# TypeScript.


def _script(schemas: dict[str, Schema], calls: list[Operation]) -> str:
    parts = [
        "// What the HTTP API takes and answers, and its calls: generated from its OpenAPI "
        "document.\n// `make generate` writes it (docs/generate_clients.py).\n",
        *(_interface(name, schemas[name]) for name in sorted(schemas)),
        _ERROR,
        "/** Asks a ranker; whatever it answers with that is no success is a ProblemError. */\n"
        "export class Freshgrid {\n" + _FIXED + "\n".join(map(_script_method, calls)) + "}\n",
    ]
    return "\n".join(parts)


def _interface(name: str, schema: Schema) -> str:
    about = _comment(schema.get("description", name), "")
    if "enum" in schema:
        return f"{about}export type {name} = {' | '.join(map(json.dumps, schema['enum']))};\n"
    required = set(schema.get("required", ()))
    fields = "".join(
        f"  {field}{'' if field in required else '?'}: {_script_type(of)};\n"
        for field, of in schema.get("properties", {}).items()
    )
    return f"{about}export interface {name} {{\n{fields}}}\n"


def _script_type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema or "const" in schema:
        return " | ".join(map(json.dumps, schema.get("enum", [schema.get("const")])))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(map(_script_type, schema["anyOf"])))
    if schema.get("type") == "array":
        return f"Array<{_script_type(schema.get('items', {}))}>"
    if schema.get("type") == "object":
        of = schema.get("additionalProperties")
        return f"Record<string, {_script_type(of) if isinstance(of, dict) else 'unknown'}>"
    return _SCRIPT.get(str(schema.get("type")), "unknown")


def _script_method(one: Operation) -> str:
    first, later = [], []
    for parameter in one.parameters:
        kind = _script_type(parameter["schema"])
        if parameter.get("required"):
            first.append(f"{parameter['name']}: {kind}")
        else:
            later.append(f"{parameter['name']}?: {kind}")
    if one.body is not None:
        first.append(f"body: {_script_type(one.body)}")
    if later:
        first.append(f"options: {{ {'; '.join(later)} }} = {{}}")
    path = one.path
    required = []
    for parameter in one.parameters:
        name = parameter["name"]
        if parameter["in"] == "path":
            path = path.replace(f"{{{name}}}", f"${{encodeURIComponent({name})}}")
        elif parameter.get("required"):
            required.append(name)
    query = ", ".join([*(["...options"] if later else []), *required])
    answer = _script_type(one.answer or {})
    arguments = [json.dumps(one.method), f"`{path}`", f"{{ {query} }}"]
    if one.body is not None:
        arguments.append("body")
    return (
        f"{_comment(one.description, '  ')}"
        f"  {_camel(NAMES.get(one.name, one.name))}({', '.join(first)}): Promise<{answer}> {{\n"
        f"    return this.call({', '.join(arguments)});\n"
        "  }\n"
    )


def _comment(text: str, before: str) -> str:
    lines = list(_prose(text))
    if len(lines) == 1:
        return f"{before}/** {lines[0]} */\n"
    body = "".join(f"{before} * {line}".rstrip() + "\n" for line in lines)
    return f"{before}/**\n{body}{before} */\n"


def _prose(text: str) -> Iterator[str]:
    for at, paragraph in enumerate(text.split("\n\n")):
        if at:
            yield ""
        if paragraph.startswith("Attributes:"):
            yield from paragraph.splitlines()
        else:
            yield from wrap(" ".join(paragraph.split()), 92)


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


_ERROR: Final = """\
/** The ranker answered with a problem (RFC 9457). */
export class ProblemError extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(`${status}: ${problem.detail}`);
    this.status = status;
    this.problem = problem;
  }
}
"""
_FIXED: Final = """\
  private readonly base: string;
  private readonly key: string | null;
  private readonly fetcher: typeof fetch;

  /**
   * `base`: where the ranker answers, without a slash at the end. `key`: an API key, or a viewer's
   * token; null: none is sent.
   */
  constructor(base: string, key: string | null = null, fetcher: typeof fetch = fetch) {
    this.base = base;
    this.key = key;
    this.fetcher = fetcher;
  }

  /**
   * Events `grid`, whose data is a Page. Ask for it by fetch with the header `Authorization`;
   * where no key is asked for an EventSource does.
   */
  liveUrl(viewer_id: string): string {
    return `${this.base}/v1/live?viewer_id=${encodeURIComponent(viewer_id)}`;
  }

  private async call<T>(
    method: string, path: string, query: Record<string, unknown>, body?: unknown,
  ): Promise<T> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) parameters.append(name, String(one));
      }
    }
    const text = parameters.toString();
    const answer = await this.fetcher.call(
      globalThis, `${this.base}${path}${text ? `?${text}` : ""}`, {
        method,
        headers: {
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(this.key === null ? {} : { Authorization: `Bearer ${this.key}` }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      },
    );
    if (!answer.ok) throw new ProblemError(answer.status, await answer.json());
    return answer.json();
  }

"""


def main() -> None:
    """Write every client."""
    for name, text in texts().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
