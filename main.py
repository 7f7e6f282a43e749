"""python main.py --config application_config.json: see carclf/cli.py."""

import sys

from carclf.cli import main

if __name__ == "__main__":
    sys.exit(main())
