"""What is written is whole, in the place that was meant; whatever fails, the old file is there."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from bayescale import files
from bayescale.errors import BayescaleError
from bayescale.files import from_toml, make_room, write, write_together

ROOT = os.geteuid() == 0


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def child(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Run a few lines in another process; it says when it is there."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_file_keeps_its_permissions_and_new_ones_have_the_usual(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old")
    old.chmod(0o600)
    umask = os.umask(0o027)
    try:
        write_together({old: "a", new: b"b"})
    finally:
        os.umask(umask)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o600, 0o640]
    assert (old.read_text(), new.read_text()) == ("a", "b")
    assert names(tmp_path) == ["new", "old"]


def test_links_are_followed(tmp_path):
    (tmp_path / "far").mkdir()
    link, dangling = tmp_path / "link", tmp_path / "dangling"
    (tmp_path / "far" / "real").write_text("old")
    link.symlink_to(Path("far") / "real")
    dangling.symlink_to(tmp_path / "far" / "made")
    write_together({link: "new", dangling: "made"})
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert (tmp_path / "far" / "real").read_text() == "new"
    assert (tmp_path / "far" / "made").read_text() == "made"


def test_links_in_a_circle_are_refused(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "other")
    (tmp_path / "other").symlink_to(link)
    with pytest.raises(BayescaleError, match="leads back to itself"):
        write(link, "new")
    assert link.is_symlink()


def test_what_is_nowhere_is_written_to_as_it_is(tmp_path):
    nowhere = tmp_path / "nowhere"
    nowhere.symlink_to("/dev/null")
    for path in (Path("/dev/null"), nowhere):
        make_room(path)
        write(path, "new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_standard_output_can_be_named(tmp_path):
    code = "from pathlib import Path; from bayescale.files import write\n"
    code += "write(Path('/dev/stdout'), 'said')"
    assert child(code).communicate()[0] == "said"
    with (tmp_path / "kept").open("w") as file:
        subprocess.run([sys.executable, "-c", code], stdout=file, check=True)
    assert (tmp_path / "kept").read_text() == "said"


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full"])
def test_devices_are_refused(path):
    for use in (make_room, lambda path: write(path, "new")):
        with pytest.raises(BayescaleError, match=f"{path} is a device; name a file, or one of"):
            use(Path(path))
    assert stat.S_ISCHR(os.stat(path).st_mode)


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = child("import sys; print(open(sys.argv[1]).read())", str(pipe))
    write(pipe, "through")
    assert reader.communicate()[0] == "through\n"
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_names_as_long_as_any_file_may_have(tmp_path):
    for name in ("x" * 255, "ö" * 127):
        write(tmp_path / name, "new")
        assert (tmp_path / name).read_text() == "new"
    with pytest.raises(BayescaleError, match="File name too long"):
        write(tmp_path / ("x" * 256), "new")


@pytest.mark.parametrize("name", ["a\0b", "\udcff", " ", "-", "a\nb", "$(x)"])
def test_odd_names_are_written_or_refused(tmp_path, name):
    if "\0" in name:
        with pytest.raises(BayescaleError, match=r"cannot be written \(.*embedded null"):
            write(tmp_path / name, "new")
        return
    write(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"


@pytest.mark.skipif(ROOT, reason="root may write everywhere")
def test_what_is_protected_stays(tmp_path):
    path = tmp_path / "fit.nc"
    path.write_text("old")
    path.chmod(0o400)
    with pytest.raises(BayescaleError, match="protected against writing"):
        write(path, "new")
    tmp_path.chmod(0o500)
    with pytest.raises(BayescaleError, match="cannot be made a folder of files"):
        make_room(tmp_path / "new")


def test_a_full_disk_leaves_all_old_files(tmp_path):
    for name in ("fit.nc", "report.html"):
        (tmp_path / name).write_text("old")
    code = """
        import resource, sys
        from pathlib import Path
        from bayescale.errors import BayescaleError
        from bayescale.files import write_together

        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        folder = Path(sys.argv[1])
        try:
            write_together({folder / "fit.nc": "new", folder / "report.html": "x" * 10_000})
        except BayescaleError as error:
            print(error)
    """
    said, trace = child(code, str(tmp_path)).communicate()
    assert "report.html cannot be written (File too large); name another place" in said
    assert trace == ""
    assert names(tmp_path) == ["fit.nc", "report.html"]
    assert {(tmp_path / name).read_text() for name in names(tmp_path)} == {"old"}


HELD = """
    import signal, sys, time
    from pathlib import Path
    from bayescale.files import _partial

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with _partial(Path(sys.argv[1]), b"half"):
        print("writing", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path, number):
    path = tmp_path / "fit.nc"
    path.write_text("old")
    (tmp_path / ".mine.partial").write_text("of another program")
    process = child(HELD, str(path))
    assert process.stdout.readline() == "writing\n"
    assert len(names(tmp_path)) == 3
    write(tmp_path / "other", "new")
    assert len(names(tmp_path)) == 4, "what is being written was taken for left over"
    process.send_signal(number)
    process.communicate()
    assert path.read_text() == "old"
    write(path, "new")
    assert names(tmp_path) == [".mine.partial", "fit.nc", "other"]
    assert path.read_text() == "new"


def test_what_is_taken_for_left_over_before_it_is_held_is_made_anew(tmp_path, monkeypatch):
    taken = []

    def late(file, *, wait):
        if not taken:
            taken.append(names(tmp_path)[0])
            os.unlink(tmp_path / taken[0])

    monkeypatch.setattr(files, "_hold", late)
    write(tmp_path / "fit.nc", "new")
    assert taken
    assert names(tmp_path) == ["fit.nc"]


def test_file_systems_without_locks_are_written_to(tmp_path, monkeypatch):
    def without(file, *, wait):
        raise OSError("Function not implemented")

    monkeypatch.setattr(files, "_hold", without)
    write(tmp_path / "fit.nc", "new")
    assert names(tmp_path) == ["fit.nc"]


def test_pictures_have_endings_that_are_known(tmp_path):
    with pytest.raises(BayescaleError, match=r"a\.unknown: no picture ends so; name one of \.png"):
        make_room(tmp_path / "a.unknown", files.PICTURES)
    for name in ("a.PNG", "a"):
        make_room(tmp_path / name, files.PICTURES)
    assert names(tmp_path) == []


TOO_MUCH = {
    "a = " + "[" * 50_000 + "]" * 50_000: "arrays or tables within hundreds of others",
    "a" + ".a" * 50_000 + " = 1": "line 1 has 50000 dots; write it as several lines",
    "a = 1\n" * 200_000: "characters; write at most",
    "a = 0x" + "f" * 5000: "more than 64 bits; write it as 1e30",
    "a = [[9223372036854775808]]": "more than 64 bits",
    "a = 1" + "0" * 5000: "4300 digits",
    "a = ": "Invalid value",
}


@pytest.mark.parametrize("text", TOO_MUCH, ids=TOO_MUCH.values())
def test_toml_that_nobody_writes_is_refused(text):
    with pytest.raises(ValueError, match=TOO_MUCH[text]):
        from_toml(text)


def test_toml_that_people_write_is_read():
    weights = ", ".join(["0.5"] * 100)
    text = f"a = [{weights}]\nb.c = -9223372036854775808\n# a comment ends so...\nd = true"
    assert from_toml(text) == {"a": [0.5] * 100, "b": {"c": -(2**63)}, "d": True}
