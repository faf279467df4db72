"""``python -m mediaserver`` and the console script ``mediaserver``."""

import sys

from mediaserver.cli.commands import run


def main() -> None:
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
