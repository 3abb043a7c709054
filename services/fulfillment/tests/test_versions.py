"""A second version of a message stands in the contracts before anybody sends it."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

import contracts
from contracts.generate.__main__ import CONTRACTS, main
from stack import find_node

FOLDER = Path(__file__).parents[1]
NODE = find_node()
WRITE = """
import { read, write } from "./src/envelope.ts";

const data = JSON.parse(process.argv[1]);
const id = data.order_id;
const cause = { messageId: id, correlationId: id };
const { type, detail } = write("ShipmentDispatched", data, id, cause, 0);
console.log(read(JSON.stringify({ "detail-type": type, detail: JSON.parse(detail) })).version);
"""


def with_second_version(folder: Path) -> Any:
    """Declare ShipmentDispatched 2, received and not sent yet; an example of the first."""
    schema = json.loads((folder / "schemas/ShipmentDispatched.json").read_text("utf-8"))
    (example, *_) = schema["examples"]
    schema["$id"] = "urn:bookstore:fulfillment:ShipmentDispatched:2"
    schema["title"] = "ShipmentDispatchedV2"
    schema["properties"]["carrier"] = {"type": "string", "maxLength": 32, "description": "Who."}
    schema["required"].append("carrier")
    schema["examples"] = [{**example, "carrier": "post"}]
    (folder / "schemas/ShipmentDispatchedV2.json").write_text(json.dumps(schema), "utf-8")
    document = yaml.safe_load((folder / "asyncapi.yaml").read_text("utf-8"))
    messages = document["components"]["messages"]
    messages["ShipmentDispatchedV2"] = {
        **messages["ShipmentDispatched"],
        "name": "ShipmentDispatchedV2",
        "payload": {"$ref": "./schemas/ShipmentDispatchedV2.json"},
    }
    document["channels"]["ShipmentDispatched"]["messages"]["ShipmentDispatchedV2"] = {
        "$ref": "#/components/messages/ShipmentDispatchedV2"
    }
    first = {"$ref": "#/channels/ShipmentDispatched/messages/ShipmentDispatched"}
    document["operations"]["sendShipmentDispatched"]["messages"] = [first]
    (folder / "asyncapi.yaml").write_text(yaml.safe_dump(document), "utf-8")
    return example


async def test_a_version_that_is_only_received_so_far_is_not_sent(tmp_path: Path) -> None:
    declared = Path(shutil.copytree(CONTRACTS, tmp_path / "contracts"))
    example = with_second_version(declared / "fulfillment")
    derived = tmp_path / "libs" / "contracts" / "src" / "contracts"
    shutil.copytree(Path(contracts.__file__).parent, derived)
    assert main(["--contracts", str(declared), "--output", str(derived)]) == 0
    service = tmp_path / "services" / "fulfillment"
    shutil.copytree(FOLDER / "src", service / "src")
    (service / "node_modules").symlink_to(FOLDER / "node_modules")
    shutil.copy(FOLDER / "package.json", service)
    process = await asyncio.create_subprocess_exec(
        str(NODE), "--input-type=module", "--eval", WRITE, json.dumps(example), cwd=service,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert (output.decode().strip(), errors.decode()) == ("1", "")
