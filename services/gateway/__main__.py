import sys

from ringback.runtime.lifecycle import run
from services.gateway.wire import main

if __name__ == "__main__":
    sys.exit(run(main))
