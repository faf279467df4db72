"""What the system user of PostgreSQL may read."""

import stat
from pathlib import Path

from storage.postgres_programs import make_readable


def test_others_get_what_the_owner_has_except_writing(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    (folder / "bin").mkdir(parents=True)
    program, library = folder / "bin" / "postgres", folder / "library.so"
    program.write_text("")
    library.write_text("")
    for path, mode in ((program, 0o700), (library, 0o600), (folder / "bin", 0o700), (folder, 0o700)):
        path.chmod(mode)
    make_readable(folder)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "bin", program, library)]
    assert modes == [0o705, 0o705, 0o705, 0o604]
