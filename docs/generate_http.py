"""Write ``openapi.json`` and ``http.md`` from the routes of the HTTP API.

``python docs/generate_http.py`` writes them; a unit test says when they are out of date, and
another one runs every example of the page.
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from docs.http_document import JSON, Operation, Schema, document, operations  # noqa: E402
from infra.http.bodies import MOST_BYTES, MOST_LINE_BYTES, MOST_RECORDS, NDJSON  # noqa: E402
from infra.http.problems import KINDS  # noqa: E402
from infra.http.scopes import RULES, Rule, refusals_of  # noqa: E402
from infra.http.streams import EVENT_STREAM, KEEP_ALIVE_S, MOST_STREAMS  # noqa: E402

#: What parameters are in examples.
VALUES: Final = {"viewer_id": "v1", "account_id": "a3", "media_id": "m7", "topic": "travel"}
SERVER: Final = "http://127.0.0.1:8000"
#: A path as the document has it → as the routes are declared.
PATHS: Final = {(method, path.replace(":path}", "}")): path for method, path in RULES}
#: The concerns in the order of the page: tag → heading.
CONCERNS: Final = {
    "events": "Events in",
    "catalogue": "The catalogue",
    "explore": "Grids",
    "live": "A grid as it changes",
    "similar": "What is similar",
    "shelves": "Popular, fresh, by topic",
    "viewers": "Viewers",
    "weights": "Weights",
    "administration": "Versions and experiments",
    "state": "State of a ranker",
}

INTRODUCTION: Final = f"""\
# HTTP

Every route that a ranker answers, with an example of each that a test runs against a running stack. Made from the routes
themselves (`make generate`), as are [openapi.json](openapi.json), which `GET /openapi.json` answers too, the Python
client in [infra/client](../infra/client/client.py) (`pip install ./infra/client`, then `from freshgrid.client import Client`)
and the [TypeScript client](../infra/client/freshgrid.ts). What fields mean that also stand in Kafka or Redis:
[contracts.md](contracts.md#http).

- **Keys**: beyond this machine every request carries `Authorization: Bearer KEY`, a key that `freshgrid keys create` made or a
  viewer's token; on loopback none is asked for ([security.md](security.md)). Each section says which scope it needs, and
  whether a viewer's token will do.
- **Limits**: any request may be answered with 401, 403, 429 or 503, and one that may carry a body with 408 or 413; a section names
  what else there is. 429 and 503 say in `Retry-After` when to ask again; a body that is too large is 413 before it is read.
- **Errors** are `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): `type`, `title`, `status`,
  `detail` (one sentence: what is wrong, and what to do) and, where places can be named, `errors`, each with `detail` and
  `pointer` (into the body), `parameter` or `reason`. Go by `type`.
- **Ids** in a path are URL-encoded. A client that takes `.` and `..` for steps uses the routes with a parameter.
- **Bodies** that are read whole have at most {MOST_BYTES:,} bytes and {MOST_RECORDS:,} records; a line of an import has at most
  {MOST_LINE_BYTES:,} bytes. `{NDJSON}` is one JSON object a line.
- **Time**: every request begins to be answered within `REQUEST_TIMEOUT_S` after the last part of its body came; else it is
  503. All requests may be sent again.
- **Streams**: a process holds {MOST_STREAMS} at once, and more are 503; each says something at least every {KEEP_ALIVE_S:g} s and ends
  when the process does.

"""


def texts() -> dict[str, str]:
    """File name → content of what is generated."""
    of = document()
    return {
        "openapi.json": json.dumps(of, indent=1, ensure_ascii=False) + "\n",
        "http.md": _page(of),
    }


def _page(of: dict[str, Any]) -> str:
    found = list(operations(of))
    parts = [INTRODUCTION, _problems()]
    for tag, heading in CONCERNS.items():
        parts.append(f"## {heading}\n\n")
        parts += [
            _section(one, of["components"]["schemas"])
            for one in found
            if one.document["tags"] == [tag]
        ]
    return "".join(parts).rstrip("\n") + "\n"


def _problems() -> str:
    rows = "".join(
        f"| {status} | `urn:freshgrid:problem:{word}` | {title} |\n"
        for status, (word, title) in KINDS.items()
    )
    return f"| status | `type` | `title` |\n|---|---|---|\n{rows}\n"


def _section(one: Operation, schemas: dict[str, Schema]) -> str:
    told = [f"### {one.method} {one.path}\n\n{one.description}\n\n", _parameters(one)]
    told.append(f"```sh\n{_curl(one, schemas)}\n```\n\n")
    content = one.document["responses"][one.status].get("content", {})
    for kind, form in (("json", JSON), ("json", NDJSON), ("text", EVENT_STREAM)):
        if "example" in content.get(form, {}):
            example = content[form]["example"]
            text = _json(example) if form == JSON else str(example).strip()
            told.append(f"{one.status}:\n\n```{kind}\n{text}\n```\n\n")
    told.append(_needs(one))
    any_route = {str(status) for status in refusals_of(one.method, _rule(one))}
    others = sorted(set(one.document["responses"]) - {one.status} - any_route)
    if others:
        told.append(f"Otherwise {', '.join(others)}.\n\n")
    return "".join(told)


def _rule(one: Operation) -> Rule:
    return RULES[one.method, PATHS[one.method, one.path]]


def _needs(one: Operation) -> str:
    rule = _rule(one)
    if rule.scope is None:
        return "Asks for no key.\n\n"
    token = ", or a token of the viewer" if rule.viewer else ""
    return f"Needs a key with the scope `{rule.scope}`{token}.\n\n"


def _parameters(one: Operation) -> str:
    if not one.parameters:
        return ""
    rows = "".join(
        f"| `{p['name']}` | {p['in']} | {_kind(p['schema'])} | {_default(p)} | "
        f"{p.get('description', '')} |\n"
        for p in one.parameters
    )
    return f"| parameter | in | type | default | |\n|---|---|---|---|---|\n{rows}\n"


def _kind(schema: Schema) -> str:
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"] if one.get("type") != "null")
    if schema.get("type") == "array":
        return f"{_kind(schema['items'])}, several"
    least, most = schema.get("minimum"), schema.get("maximum")
    return schema.get("type", "") + (f", {least} to {most}" if most is not None else "")


def _default(parameter: dict[str, Any]) -> str:
    if parameter.get("required"):
        return "required"
    default = parameter["schema"].get("default")
    return "" if default in (None, "", []) else f"`{json.dumps(default)}`"


def _curl(one: Operation, schemas: dict[str, Schema]) -> str:
    path = one.path
    for parameter in one.parameters:
        value = VALUES.get(parameter["name"], "")
        if one.method == "DELETE":
            value = "v9"  # Who looks at the other examples goes on being known.
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", value)
        elif parameter.get("required"):
            path += f"{'&' if '?' in path else '?'}{parameter['name']}={value}"
    words = ["curl"]
    if EVENT_STREAM in one.document["responses"][one.status].get("content", {}):
        words.append("-N")
    if one.method != "GET":
        words += ["-X", one.method]
    body = one.document.get("requestBody", {}).get("content", {})
    if body:
        form = JSON if JSON in body else NDJSON
        example = _example(body[form], schemas)
        text = example if isinstance(example, str) else json.dumps(example)
        words += ["-H", f"Content-Type: {form}", "--data-binary", text]
    return " ".join(shlex.quote(word) for word in [*words, f"{SERVER}{path}"])


def _example(content: dict[str, Any], schemas: dict[str, Schema]) -> Any:
    if "example" in content:
        return content["example"]
    if "examples" in content:
        return list(content["examples"].values())[-1]["value"]
    return schemas[content["schema"]["$ref"].rpartition("/")[2]]["examples"][0]


def _json(example: Any) -> str:
    """JSON as short as it can be read: what fits in a line stands in one."""

    def shown(value: Any, before: str) -> str:
        line = json.dumps(value, ensure_ascii=False)
        if len(before) + len(line) <= 116 or not isinstance(value, dict | list) or not value:
            return line
        deeper = before + "  "
        if isinstance(value, list):
            inner = ",\n".join(deeper + shown(one, deeper) for one in value)
            return f"[\n{inner}\n{before}]"
        inner = ",\n".join(
            f"{deeper}{json.dumps(name)}: {shown(one, deeper)}" for name, one in value.items()
        )
        return f"{{\n{inner}\n{before}}}"

    return shown(example, "")


def main() -> None:
    """Write both files."""
    for name, text in texts().items():
        (DOCS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
