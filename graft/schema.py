"""The JSON schema of a study, by which an editor completes and checks a study file as it is written.

``python -m graft.schema > graft/study.schema.json`` writes the file that config.yaml's first line names.
"""

import json
from typing import Any

from graft.config import Study

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _adapt(node: Any) -> None:
    """Refuse, in every mapping of names to entries, what is no name; and let a value fit several branches of a union.

    (JSON calls 1 a number too, so a range of whole numbers is both kinds of range.)
    """
    if isinstance(node, dict):
        if "patternProperties" in node:
            node["additionalProperties"] = False
        if "oneOf" in node:
            node["anyOf"] = node.pop("oneOf")
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _adapt(child)


def study_schema() -> str:
    """The schema as JSON text, keys sorted, so that equal studies have equal files."""
    whole = Study.model_json_schema()
    (models,) = whole["properties"]["models"]["patternProperties"].values()
    # What else such a model needs stands in the one that it extends.
    described = "another model of this study, of which this one says only what differs"
    extending = {"type": "string", "description": described}
    models["oneOf" if "oneOf" in models else "anyOf"].append(
        {"type": "object", "required": ["extends"], "properties": {"extends": extending}}
    )
    _adapt(whole)
    described = "the path, from this file, of another study, of which this one says only what differs"
    schema = {
        "$schema": DIALECT,
        "title": "Graft study",
        "$defs": whole.pop("$defs"),
        "if": {"required": ["extends"]},
        "then": {"required": ["study"], "properties": {"extends": {"type": "string", "description": described}}},
        "else": whole,
    }
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(study_schema(), end="")
