from __future__ import annotations

import pytest
from fakevsphere import UUID, machine

from consolekit.core.errors import AmbiguousServer, UnknownServer
from consolekit.providers.vsphere.lookup import Moids, canonical_id, is_still, only_one
from consolekit.providers.vsphere.settings import FindBy
from consolekit.testing.clock import ManualClock


@pytest.mark.parametrize("find_by", [FindBy.INSTANCE_UUID, FindBy.BIOS_UUID])
@pytest.mark.parametrize("written", [UUID, UUID.upper(), UUID.replace("-", "")])
def test_a_uuid_has_one_form(find_by: FindBy, written: str) -> None:
    assert canonical_id(find_by, written) == UUID


@pytest.mark.parametrize(
    "wrong", ["", "web-1", UUID[:-1], UUID + "0", f"{{{UUID}}}", f" {UUID}", UUID + "\n"]
)
def test_what_is_no_uuid_is_no_server(wrong: str) -> None:
    with pytest.raises(UnknownServer):
        canonical_id(FindBy.INSTANCE_UUID, wrong)


def test_a_managed_object_id() -> None:
    assert canonical_id(FindBy.MOID, "vm-42") == "vm-42"
    for wrong in ("", "vm 42", "vm<42", "-42", "v" * 81, "vm-42\n"):
        with pytest.raises(UnknownServer):
            canonical_id(FindBy.MOID, wrong)


def test_one_is_one() -> None:
    assert only_one(("vm-1",)) == "vm-1"
    with pytest.raises(UnknownServer):
        only_one(())
    with pytest.raises(AmbiguousServer, match="vm-1, vm-2"):
        only_one(("vm-2", "vm-1"))


@pytest.mark.parametrize(
    ("find_by", "wanted", "still"),
    [
        (FindBy.INSTANCE_UUID, UUID, True),
        (FindBy.INSTANCE_UUID, UUID[:-1] + "b", False),
        (FindBy.BIOS_UUID, UUID, True),
        (FindBy.BIOS_UUID, UUID[:-1] + "b", False),
        (FindBy.MOID, "vm-1", True),
    ],
)
def test_a_machine_may_be_another_one_now(find_by: FindBy, wanted: str, still: bool) -> None:
    assert is_still(find_by, wanted, machine()) is still
    assert is_still(find_by, wanted, machine(instance_uuid="", bios_uuid=""))  # not told: cannot say


class TestMoids:
    def test_remembers_for_minutes(self) -> None:
        clock = ManualClock()
        moids = Moids(clock)
        moids.put("a", "vm-1")
        clock.advance(299)
        assert moids.get("a") == "vm-1"
        clock.advance(1)
        assert moids.get("a") is None

    def test_forgets(self) -> None:
        moids = Moids(ManualClock())
        moids.put("a", "vm-1")
        moids.forget("a")
        moids.forget("never known")
        assert moids.get("a") is None

    def test_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("consolekit.providers.vsphere.lookup._MOST", 2)
        moids = Moids(ManualClock())
        for number in range(3):
            moids.put(str(number), f"vm-{number}")
        assert [moids.get(str(number)) for number in range(3)] == [None, "vm-1", "vm-2"]
