"""nsagent as a user who is not root, with the capabilities of manifests/nsagent.service: it sees what root sees."""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.live.agent_bed import AgentBed
from tests.live.capabilities import Capability, require
from tests.live.closed_bed import ClosedBed, read_report
from tests.live.netns_bed import NetnsBed
from tests.live.nsagent_cli import Scan, owners_in
from tests.live.unprivileged import PROJECT, UID

UNIT: Final = Path(PROJECT, "manifests", "nsagent.service")
HOSTILE: Final = os.path.join(os.path.dirname(__file__), "hostile_mounts.py")
ANOTHER_UID: Final = 65533


def become_own_user(*more: str) -> list[str]:
    """What comes before a command to run it as systemd does: with the capabilities of the unit, and these."""
    (names,) = re.findall(r"^AmbientCapabilities=(.*)$", UNIT.read_text(), re.MULTILINE)
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in (*names.split(), *more))
    sets = [f"--{kind}=-all,{kept}" for kind in ("inh-caps", "ambient-caps", "bounding-set")]
    return ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs", *sets, "--"]


def place_everything(bed: ClosedBed) -> None:
    """Netns that a name, a process, a socket of root's or of somebody else's, or a foreign mount leads to."""
    _, actor = bed.netns_bed.stage()
    actor.pair(actor.listen())
    for uid in (0, ANOTHER_UID):
        _, holder = bed.netns_bed.anonymous()
        holder.listen()
        holder.ask("unshare_net")
        holder.ask("become", uid=uid)
    read_report(bed.start(sys.executable, "-I", "-S", HOSTILE, "plain", "1"), "ready")


def tell(scan: Scan) -> dict[str, Any]:
    """All that a scan says of sockets and netns, and of what it could not see."""
    return {
        "rows": {(row["netns"], row["inode"], row["cookie"]): owners_in(row) for row in scan.sockets},
        "netns": {
            one["inode"]: (one["names"], one["engine"], one["found_by"], one["is_host"], one["foreign_mounts"])
            for one in scan.netns
        },
        "gaps": scan.coverage["gaps"],
        "complete": scan.coverage["complete"],
    }


@pytest.mark.parametrize("more", [(), ("CAP_NET_BROADCAST",)], ids=["as the unit", "with more, which is given back"])
def test_a_user_of_its_own_sees_what_root_sees(closed_bed: ClosedBed, more: tuple[str, ...]) -> None:
    place_everything(closed_bed)
    as_root = tell(closed_bed.scan())
    assert sorted({way for one in as_root["netns"].values() for way in one[2]}) == ["mount", "process", "socket"]
    assert tell(closed_bed.scan(before=become_own_user(*more))) == as_root


def test_the_agent_of_such_a_user_follows_a_config_that_is_root_s_alone(
    bed: NetnsBed, token: str, tmp_path: Path
) -> None:
    require(Capability.SETPRIV)
    _, actor = bed.stage()
    held = actor.listen()
    for name in ("run", "state"):
        (tmp_path / name).mkdir(mode=0o700)
        os.chown(tmp_path / name, UID, UID)
    agent = AgentBed(tmp_path, token, enter=become_own_user())
    try:
        output = {"type": "file", "path": str(tmp_path / "state" / "r.json")}
        report = {"name": "r", "every": "1s", "format": "json", "select": {"port": held.port}, "outputs": [output]}
        agent.write_config(report, history={"path": str(tmp_path / "state" / "history.db")})
        agent.config.chmod(0o600)
        agent.start()
        agent.await_report("r", lambda one: one["outputs"][0]["written"], "a report")
        rows = json.loads((tmp_path / "state" / "r.json").read_text())["sockets"]
        assert [owners_in(row) for row in rows if row["inode"] == held.inode] == [{held.pid: [held.fd]}]
        agent.write_config({**report, "name": "other"})
        agent.config.chmod(0o600)
        agent.await_status(lambda status: [one["name"] for one in status["reports"]] == ["other"], "the other config")
        assert agent.end()[0] == 0
    finally:
        agent.close()
