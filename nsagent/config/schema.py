"""The JSON Schema of a config, from the same models that check it. Pure.

Source: json-schema.org, draft 2020-12. It cannot say what two keys must be beside each other: `load` can.
"""

from typing import Any

from nsagent.config.model import Config


def make_schema() -> dict[str, Any]:
    """The schema as JSON has it."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
